//! The one thread that writes: takes what waits, commits it at once, and only then answers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::StoreFault;
use super::embedded::{Batch, Embedded, Request};
use super::queue::{Job, Parcel, Queue};

/// How long the writer waits before it looks for room on the disk again.
const PAUSE: Duration = Duration::from_millis(if cfg!(test) { 5 } else { 1000 });

/// How long nobody has to ask for anything before the writer looks after the store.
const LULL: Duration = Duration::from_secs(1);

/// Opens the store anew.
pub(super) type Reopen = Box<dyn Fn() -> Result<Embedded, StoreFault> + Send>;

/// Starts the writer, which runs until the queue is closed and empty, or until a commit fails for good.
pub(super) fn spawn(engine: Embedded, reopen: Reopen, queue: Arc<Queue>) -> Result<JoinHandle<()>, StoreFault> {
    queue.done(&[], (engine.keys(), engine.unknown()), false);
    Builder::new()
        .name("store".to_owned())
        .spawn(move || write(engine, &reopen, &queue))
        .map_err(|error| StoreFault::io("the writer's thread", &error))
}

/// After a failed commit nobody knows what is on disk, and the database refuses to go on; only opening it anew, which
/// verifies it and makes unknown what ran, is sure. For want of room the writer does that itself, as soon as there is some.
/// Any other fault may be the disk's, which a person should look at: then the first failure is the last.
fn write(mut engine: Embedded, reopen: &Reopen, queue: &Arc<Queue>) {
    loop {
        let Some(batch) = queue.take_within(LULL) else { break };
        let (requests, replies): (Vec<_>, Vec<_>) = batch.into_iter().map(|job| (job.request, job.reply)).unzip();
        let done = sheltered(|| match requests.is_empty() {
            false => engine.run(&requests),
            true => engine.idle().map(|()| Batch::default()),
        });
        match done {
            Ok(Batch { answers, committed }) => {
                queue.done(&answers, (engine.keys(), engine.unknown()), committed);
                requests
                    .iter()
                    .filter_map(Request::settles)
                    .for_each(|key| queue.waiters.wake(&key));
                for (reply, answer) in replies.into_iter().zip(answers) {
                    // A parcel that is not taken comes back in the error and is dropped there.
                    let _ = reply.send(Ok(Parcel::new(answer, Arc::clone(queue))));
                }
            }
            Err(StoreFault::NoRoom) => {
                let batch = requests.into_iter().zip(replies);
                queue.suspend(batch.map(|(request, reply)| Job { request, reply }).collect());
                let _ = catch_unwind(AssertUnwindSafe(|| drop(engine)));
                match resumed(reopen, queue) {
                    Some(again) => engine = again,
                    None => return queue.end(),
                }
            }
            Err(fault) => {
                // First of all, so that whoever hears of the fault finds the store closed.
                queue.end();
                for reply in replies {
                    let _ = reply.send(Err(fault.clone()));
                }
                let _ = catch_unwind(AssertUnwindSafe(|| drop(engine)));
                return;
            }
        }
    }
    queue.end();
    close(engine);
}

/// Everything is on disk already; a tree that has it all by itself can be copied as it lies there.
fn close(engine: Embedded) {
    if let Err(fault) = sheltered(|| engine.close()) {
        tracing::warn!(%fault, "the store was not closed in order, and is found again from its daybook");
    }
}

/// Opens the store anew once there is room; none if that fails, or if the store is no longer wanted.
fn resumed(reopen: &Reopen, queue: &Queue) -> Option<Embedded> {
    tracing::error!("there is no room on the disk for the store; keyed writes are refused until there is");
    while queue.rests(PAUSE) {
        match sheltered(reopen) {
            Ok(engine) => {
                queue.done(&[], (engine.keys(), engine.unknown()), false);
                queue.resume();
                tracing::info!("there is room for the store again");
                return Some(engine);
            }
            Err(StoreFault::NoRoom) => {}
            Err(fault) => {
                tracing::error!(%fault, "the store cannot be opened again");
                return None;
            }
        }
    }
    None
}

/// The database asserts what it believes of its file; a file that changed under it must not end the gateway.
fn sheltered<T>(work: impl FnOnce() -> Result<T, StoreFault>) -> Result<T, StoreFault> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(StoreFault::Corrupt("a broken assertion".to_owned())))
}
