//! The one thread that writes: takes what waits, commits it at once, and only then answers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use super::StoreFault;
use super::embedded::{Embedded, Request};
use super::queue::{Parcel, Queue};

/// Starts the writer, which runs until the queue is closed and empty, or until a commit fails.
pub(super) fn spawn(engine: Embedded, queue: Arc<Queue>) -> Result<JoinHandle<()>, StoreFault> {
    queue.done(&[], (engine.keys(), engine.unknown()), false);
    Builder::new()
        .name("store".to_owned())
        .spawn(move || write(engine, &queue))
        .map_err(|error| StoreFault::io("the writer's thread", &error))
}

/// After a failed commit nobody knows what is on disk, and the database refuses to go on; only opening it anew, which
/// verifies it and makes unknown what ran, is sure. So the first failure is the last.
fn write(mut engine: Embedded, queue: &Arc<Queue>) {
    loop {
        let (requests, replies): (Vec<_>, Vec<_>) =
            queue.take().into_iter().map(|job| (job.request, job.reply)).unzip();
        if requests.is_empty() {
            break;
        }
        let settled: Vec<_> = requests.iter().filter_map(Request::settles).collect();
        // The database asserts what it believes of its file; a file that changed under it must not end the gateway.
        let result = catch_unwind(AssertUnwindSafe(|| engine.run(requests)))
            .unwrap_or_else(|_| Err(StoreFault::Corrupt("a broken assertion".to_owned())));
        match result {
            Ok(batch) => {
                queue.done(&batch.answers, (engine.keys(), engine.unknown()), batch.committed);
                settled.iter().for_each(|key| queue.waiters.wake(key));
                for (reply, answer) in replies.into_iter().zip(batch.answers) {
                    // A parcel that is not taken comes back in the error and is dropped there.
                    let _ = reply.send(Ok(Parcel::new(answer, Arc::clone(queue))));
                }
            }
            Err(fault) => {
                // First of all, so that whoever hears of the fault finds the store closed.
                queue.end();
                for reply in replies {
                    let _ = reply.send(Err(fault.clone()));
                }
                break;
            }
        }
    }
    queue.end();
    let _ = catch_unwind(AssertUnwindSafe(|| drop(engine)));
}
