//! Waits by a thread for each worker, where the kernel has no pidfds. The thread does not reap. The
//! dead process stays a zombie until [`Waiter`](super::Waiter) kills the rest of its group and
//! reaps it, as with a pidfd.

use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions};
use tokio::sync::oneshot;

use super::errno::CallError;

/// The size of the thread's stack, in bytes. The thread only calls one function in a loop.
const STACK: usize = 64 * 1024;

/// A thread that waits for one child.
#[derive(Debug)]
pub(super) struct WaitThread {
    ended: Option<oneshot::Receiver<()>>,
}

impl WaitThread {
    /// Starts to wait for the child `pid`. Fails if there is no thread left.
    pub(super) fn start(pid: Pid) -> Result<Self, CallError> {
        let (sender, ended) = oneshot::channel();
        let thread = std::thread::Builder::new().name("bulkhead-wait".into()).stack_size(STACK);
        let run = move || {
            super::signal::block_all();
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while let Err(Errno::INTR) = rustix::process::waitid(WaitId::Pid(pid), options) {}
            // ECHILD also means that the child has ended: other code has reaped it. The receiver
            // may be gone.
            let _ = sender.send(());
        };
        thread.spawn(run).map_err(CallError::of("pthread_create"))?;
        Ok(Self { ended: Some(ended) })
    }

    /// Returns when the process has ended. Cancel safe.
    pub(super) async fn exited(&mut self) {
        if let Some(ended) = &mut self.ended {
            // The sender is never dropped without a message, because the thread does not panic.
            let _ = ended.await;
            self.ended = None;
        }
    }
}
