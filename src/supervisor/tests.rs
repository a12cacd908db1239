//! A real process under its task, without Node.

use std::ffi::CString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::pool::config::{PoolConfig, RestartConfig};
use crate::pool::messages::{Body, Event, NewTask};
use crate::supervisor::config::{QueueLimits, WorkerConfig};
use crate::supervisor::handle::{PoolHandle, SharedPool};
use crate::supervisor::outbox::Outbox;
use crate::supervisor::thread;

/// Makes a pool of one worker: a shell that runs `script`.
fn pool(script: &str) -> SharedPool {
    let restart =
        RestartConfig { limit: 5, window: 10_000_000, min_delay: 1_000, max_delay: 1_000 };
    let pool = PoolConfig { restart, ..PoolConfig::default() };
    let args = vec![c"-c".to_owned(), CString::new(script).expect("a script without NUL")];
    let env = vec![c"PATH=/usr/local/bin:/usr/bin:/bin".to_owned()];
    let worker = WorkerConfig { env, ..WorkerConfig::of(c"/bin/sh", args) };
    let limits = QueueLimits { tasks: 100, bytes: 1 << 20 };
    let shared = Arc::new(PoolHandle::new(pool, worker, limits, Outbox::new(|| {})));
    thread::host(Arc::clone(&shared)).expect("there is a supervisor");
    shared
}

/// Waits until JavaScript is told what contains `text`; gives all of that batch.
fn told(shared: &SharedPool, text: &str) -> String {
    let patience = Instant::now() + Duration::from_secs(60);
    loop {
        match shared
            .outbox
            .take()
            .map(|batch| String::from_utf8(batch.json).expect("what is told is UTF-8"))
        {
            Some(said) if said.contains(text) => return said,
            Some(_) => {}
            None => std::thread::sleep(Duration::from_millis(5)),
        }
        assert!(Instant::now() < patience, "waited in vain for {text}");
    }
}

// [E15]
#[test]
fn a_worker_that_begins_a_frame_and_does_not_go_on_is_killed() {
    let shared = pool(
        r#"say() { printf '%s' "$1" >&3; }
           say '{"type":"ready","version":1}
'
           read -r init <&3; read -r task <&3
           while true; do say '     '; sleep 0.01; done"#,
    );
    let body = Body::plain(b",\"task\":1}\n");
    let task = NewTask { ticket: 7, body, ..NewTask::default() };
    shared.submit(task).expect("there is room");
    let said = told(&shared, "no progress for 30 s");
    assert!(said.contains(r#""kind":"protocol""#), "{said}");
    assert!(said.contains("SIGKILL") || told(&shared, "SIGKILL").contains("exit"), "{said}");
    shared.post(Event::Terminate);
    told(&shared, r#""event":"closed""#);
}
