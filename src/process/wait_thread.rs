//! Waiting by a thread for each worker, where there are no pidfds. The thread only looks: the dead
//! process stays a zombie until the same code reaps it as with a pidfd, so that its group can still
//! be killed first.

use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions};
use tokio::sync::oneshot;

use super::errno::CallError;

/// It calls one function, in a loop.
const STACK: usize = 64 * 1024;

/// A thread that waits for one child.
#[derive(Debug)]
pub(super) struct WaitThread {
    ended: Option<oneshot::Receiver<()>>,
}

impl WaitThread {
    /// Starts to wait for our child `pid`. Fails when no thread can be had.
    pub(super) fn start(pid: Pid) -> Result<Self, CallError> {
        let (sender, ended) = oneshot::channel();
        let thread = std::thread::Builder::new().name("bulkhead-wait".into()).stack_size(STACK);
        let run = move || {
            super::signal::block_all();
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while let Err(Errno::INTR) = rustix::process::waitid(WaitId::Pid(pid), options) {}
            // Also after ECHILD: someone else has reaped it, so it has ended. Nobody may be
            // listening any more.
            let _ = sender.send(());
        };
        thread.spawn(run).map_err(CallError::of("pthread_create"))?;
        Ok(Self { ended: Some(ended) })
    }

    /// Returns when the process has ended. Cancel safe.
    pub(super) async fn exited(&mut self) {
        if let Some(ended) = &mut self.ended {
            // An error would mean that the thread is gone without a word, which it cannot be: it
            // does not panic.
            let _ = ended.await;
            self.ended = None;
        }
    }
}
