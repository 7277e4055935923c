//! How many connections each address has open.
//!
//! Bounded by the connections that there may be at all: an address is known as long as it has one.

use ipnet::IpNet;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::gateway::neighbourhood;
use crate::policy::within;

/// The connections of all workers, by address.
#[derive(Debug)]
pub(super) struct Crowd {
    /// Most from one address; absent = any number.
    most: Option<u32>,
    /// Proxies speak for many.
    exempt: Vec<IpNet>,
    open: Mutex<HashMap<IpAddr, u32>>,
}

/// A connection, counted until it is dropped.
#[derive(Debug)]
pub(super) struct Entered {
    counted: Option<(Arc<Crowd>, IpAddr)>,
}

impl Crowd {
    /// Nobody yet.
    pub(super) fn new(most: Option<u32>, exempt: Vec<IpNet>) -> Arc<Self> {
        Arc::new(Self {
            most,
            exempt,
            open: Mutex::default(),
        })
    }

    /// One more from this address; none if it has as many as it may.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Entered> {
        let Some(most) = self.most.filter(|_| !within(&self.exempt, address)) else {
            return Some(Entered { counted: None });
        };
        let address = neighbourhood(address);
        let mut open = self.open();
        let count = open.entry(address).or_insert(0);
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Entered {
            counted: Some((Arc::clone(self), address)),
        })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let Some((crowd, address)) = self.counted.take() else {
            return;
        };
        let mut open = crowd.open();
        if let Some(count) = open.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(crowd: &Arc<Crowd>, address: &str) -> Option<Entered> {
        crowd.enter(address.parse().unwrap())
    }

    #[test]
    fn an_address_has_so_many_connections_and_is_forgotten_with_its_last() {
        let crowd = Crowd::new(Some(2), vec!["10.0.0.0/8".parse().unwrap()]);
        let first = enter(&crowd, "192.0.2.1").unwrap();
        let second = enter(&crowd, "::ffff:192.0.2.1").unwrap();
        assert!(enter(&crowd, "192.0.2.1").is_none());
        let other = enter(&crowd, "192.0.2.2").unwrap();
        let six = [1, 2].map(|host| enter(&crowd, &format!("2001:db8::{host}")).unwrap());
        assert!(
            enter(&crowd, "2001:db8::ffff:0:0:1").is_none(),
            "one network is one client"
        );
        drop(first);
        let third = enter(&crowd, "192.0.2.1").unwrap();
        assert!(enter(&crowd, "192.0.2.1").is_none());
        let proxy: Vec<_> = (0..100).map(|_| enter(&crowd, "10.0.0.1").unwrap()).collect();
        assert_eq!(crowd.open().len(), 3);
        drop((second, third, other, six, proxy));
        assert!(crowd.open().is_empty());
    }

    #[test]
    fn without_a_limit_nobody_is_counted() {
        let crowd = Crowd::new(None, Vec::new());
        let all: Vec<_> = (0..100).map(|_| enter(&crowd, "192.0.2.1").unwrap()).collect();
        assert!(crowd.open().is_empty());
        drop(all);
    }
}
