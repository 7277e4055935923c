//! A key server over real TLS: what it says, how often it is asked, and what is not taken from it.

use super::*;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

const ONLY: &[Algorithm] = &[Algorithm::ES256];

/// A key server on this machine: says one thing until it is told to say another.
#[derive(Clone)]
struct Server {
    port: u16,
    ca: String,
    says: Arc<Mutex<Vec<u8>>>,
    hits: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    most_open: Arc<AtomicUsize>,
    task: Arc<tokio::task::JoinHandle<()>>,
}

impl Server {
    async fn start(says: impl Into<Vec<u8>>) -> Self {
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::new(Vec::<String>::new()).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
        let issuer = Issuer::new(ca, ca_key);
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key, &issuer).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![leaf.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let says = Arc::new(Mutex::new(says.into()));
        let counts: [Arc<AtomicUsize>; 3] = Default::default();
        let (answers, own) = (Arc::clone(&says), counts.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, says, counts) = (acceptor.clone(), Arc::clone(&answers), own.clone());
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let [hits, open, most_open] = counts;
                    hits.fetch_add(1, Ordering::SeqCst);
                    most_open.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                            break;
                        }
                    }
                    assert!(head.starts_with(b"GET /keys?v=1 HTTP/1.1\r\n"));
                    open.fetch_sub(1, Ordering::SeqCst);
                    let answer = says.lock().unwrap().clone();
                    let _ = stream.write_all(&answer).await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        let [hits, open, most_open] = counts;
        Self {
            port,
            ca: ca_pem,
            says,
            hits,
            open,
            most_open,
            task: Arc::new(task),
        }
    }

    fn say(&self, bytes: impl Into<Vec<u8>>) {
        *self.says.lock().unwrap() = bytes.into();
    }

    fn remote(&self) -> Remote {
        self.trusting(&self.ca)
    }

    fn trusting(&self, ca: &str) -> Remote {
        let url = format!("https://127.0.0.1:{}/keys?v=1", self.port);
        Remote::new(&url, Some(ca.as_bytes()), ONLY).unwrap()
    }

    fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }
}

fn jwks(kid: &str) -> String {
    let point = KeyPair::generate().unwrap().public_key_raw().to_vec();
    let (x, y) = (
        URL_SAFE_NO_PAD.encode(&point[1..33]),
        URL_SAFE_NO_PAD.encode(&point[33..65]),
    );
    format!(r#"{{"keys":[{{"kty":"EC","crv":"P-256","alg":"ES256","use":"sig","kid":"{kid}","x":"{x}","y":"{y}"}}]}}"#)
}

fn http(status: &str, more: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{more}\r\n{body}")
}

fn good(kid: &str) -> String {
    http("200 OK", "", &jwks(kid))
}

fn kids(keys: &KeySet) -> Vec<&str> {
    keys.kids().collect()
}

#[tokio::test]
async fn keys_are_fetched_and_rotated_but_not_twice_in_a_window() {
    let server = Server::start(good("k1")).await;
    let remote = server.remote();
    assert!(remote.keys().is_empty(), "not asked yet");
    assert_eq!(kids(&*remote.refresh(REFETCH_WINDOW).await), ["k1"]);
    server.say(good("k2"));
    for _ in 0..3 {
        assert_eq!(kids(&*remote.refresh(REFETCH_WINDOW).await), ["k1"]);
    }
    assert_eq!(server.hits(), 1);
    tokio::time::pause();
    tokio::time::advance(REFETCH_WINDOW).await;
    tokio::time::resume();
    assert_eq!(kids(&*remote.refresh(REFETCH_WINDOW).await), ["k2"]);
    assert_eq!(kids(&remote.keys()), ["k2"]);
    server.say(good("k3"));
    assert_eq!(
        kids(&*remote.refresh(Duration::ZERO).await),
        ["k3"],
        "by the clock, whoever asked before"
    );
    assert_eq!(server.hits(), 3);
}

#[tokio::test]
async fn all_who_come_at_one_time_are_one_fetch() {
    for (window, hits) in [(REFETCH_WINDOW, 1), (Duration::ZERO, 20)] {
        let server = Server::start(good("k1")).await;
        let remote = Arc::new(server.remote());
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let remote = Arc::clone(&remote);
            all.spawn(async move { kids(&*remote.refresh(window).await) == ["k1"] });
        }
        while let Some(done) = all.join_next().await {
            assert!(done.unwrap(), "who waits gets what was fetched");
        }
        assert_eq!(server.hits(), hits);
        assert_eq!(server.most_open.load(Ordering::SeqCst), 1, "never two at one time");
        assert_eq!(server.open.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test]
async fn a_failed_fetch_leaves_the_last_good_keys() {
    let server = Server::start(good("k1")).await;
    let remote = server.remote();
    remote.refresh(Duration::ZERO).await;
    let set = jwks("k2");
    let padded = |length: usize| format!("{set}{}", " ".repeat(length - set.len()));
    let here = format!("Location: https://127.0.0.1:{}/keys?v=1\r\n", server.port);
    let cases = [
        ("500", http("500 Internal Server Error", "", &set), "answers 500"),
        ("a redirect", http("302 Found", &here, &set), "answers 302"),
        ("204", "HTTP/1.1 204 No Content\r\n\r\n".into(), "answers 204"),
        ("HTML", http("200 OK", "", "<html>keys</html>"), "what it sends"),
        ("no set", http("200 OK", "", "[]"), "what it sends"),
        (
            "too large",
            http("200 OK", "", &padded(MAX_JWKS_BYTES + 1)),
            "too large",
        ),
        (
            "cut short",
            good("k2").replace("Content-Length: ", "Content-Length: 9"),
            "broke off",
        ),
        ("no HTTP", "hello\r\n\r\n".into(), "cannot fetch"),
        ("nothing", String::new(), "cannot fetch"),
    ];
    for (at, (name, says, fault)) in cases.iter().enumerate() {
        server.say(says.as_bytes());
        let said = remote.fetch().await.map(|_| ()).unwrap_err().to_string();
        assert!(said.contains(fault), "{name}: {said}");
        assert_eq!(kids(&*remote.refresh(Duration::ZERO).await), ["k1"], "{name}");
        assert_eq!(server.hits(), 3 + 2 * at, "{name}: asked once each time");
    }
    // A failure for a token's sake counts as asking, too; what the clock asked for does not.
    assert_eq!(kids(&*remote.refresh(REFETCH_WINDOW).await), ["k1"], "fails");
    server.say(http("200 OK", "", &padded(MAX_JWKS_BYTES)));
    assert_eq!(kids(&*remote.refresh(REFETCH_WINDOW).await), ["k1"]);
    assert_eq!(
        kids(&*remote.refresh(Duration::ZERO).await),
        ["k2"],
        "the largest that is read"
    );

    server.task.abort();
    while !server.task.is_finished() {
        tokio::task::yield_now().await;
    }
    let fault = remote.fetch().await.map(|_| ()).unwrap_err();
    assert!(matches!(fault, FetchFault::Connect(_)), "{fault}");
    assert_eq!(
        kids(&*remote.refresh(Duration::ZERO).await),
        ["k2"],
        "connection refused"
    );
}

#[tokio::test]
async fn keys_that_nobody_confirms_for_a_day_are_given_up() {
    let server = Server::start(good("k1")).await;
    let remote = server.remote();
    remote.refresh(Duration::ZERO).await;
    server.say(http("500 Internal Server Error", "", ""));
    let after = async |time| {
        tokio::time::pause();
        tokio::time::advance(time).await;
        tokio::time::resume();
        remote.refresh(Duration::ZERO).await
    };
    assert_eq!(kids(&*after(MAX_STALE - Duration::from_secs(60)).await), ["k1"]);
    assert!(after(Duration::from_secs(61)).await.is_empty());
    server.say(good("k2"));
    assert_eq!(kids(&*after(Duration::ZERO).await), ["k2"], "and it is believed again");
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://127.0.0.1:{}/", listener.local_addr().unwrap().port());
    let ca = Server::start("").await.ca;
    let remote = Remote::new(&url, Some(ca.as_bytes()), ONLY).unwrap();
    tokio::time::pause();
    let started = Instant::now();
    assert!(remote.refresh(Duration::ZERO).await.is_empty());
    assert!(
        (FETCH_TIMEOUT..FETCH_TIMEOUT * 2).contains(&started.elapsed()),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn only_the_named_authorities_are_believed() {
    let (server, stranger) = (Server::start(good("k1")).await, Server::start(good("k1")).await);
    let fault = server.trusting(&stranger.ca).fetch().await.map(|_| ()).unwrap_err();
    assert!(matches!(fault, FetchFault::Connect(_)), "{fault}");
    assert_eq!(server.hits(), 0, "nothing was asked of it");
    // Another name of the same machine is not in the certificate.
    let url = format!("https://localhost:{}/keys?v=1", server.port);
    let remote = Remote::new(&url, Some(server.ca.as_bytes()), ONLY).unwrap();
    assert!(remote.refresh(Duration::ZERO).await.is_empty());
    assert_eq!(server.hits(), 0);
    for none in ["", "no PEM at all"] {
        let fault = Remote::new("https://idp.example/", Some(none.as_bytes()), ONLY).map(|_| ());
        assert!(matches!(fault, Err(FetchFault::Authorities(_))), "{none}");
    }
}

#[tokio::test]
async fn only_https_without_a_name_in_it_is_asked() {
    let ca = Server::start("").await.ca;
    for url in [
        "http://idp.example/keys",
        "https://user@idp.example/keys",
        "https://user:secret@idp.example/keys",
        "ftp://idp.example/keys",
        "file:///etc/keys",
        "/keys",
        "idp.example",
        "",
        "https://",
    ] {
        let made = Remote::new(url, Some(ca.as_bytes()), ONLY).map(|_| ());
        assert!(matches!(made, Err(FetchFault::Url)), "{url}: {made:?}");
    }
    let remote = Remote::new("https://idp.example/keys", Some(ca.as_bytes()), ONLY).unwrap();
    assert!(remote.is("https://idp.example/keys", Some(ca.as_bytes()), ONLY));
    assert!(!remote.is("https://idp.example/other", Some(ca.as_bytes()), ONLY));
    assert!(!remote.is("https://idp.example/keys", None, ONLY));
}
