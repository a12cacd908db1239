//! Tests with three processes: the test, a middle one that it kills, and the middle one's child,
//! which has to follow.
//!
//! The two others run this test binary again, with the one "test" below that plays their role.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use super::*;

const ROLE: &str = "BULKHEAD_TEST_GUARD_ROLE";
const LAYER: &str = "BULKHEAD_TEST_GUARD_LAYER";

fn again(role: &str, layer: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--ignored", "--nocapture", "--test-threads=1", "a_role_in_another_process"])
        .env(ROLE, role)
        .env(LAYER, layer)
        .stdin(Stdio::null());
    command
}

#[test]
#[ignore = "a role in the tests below"]
fn a_role_in_another_process() {
    let layer = std::env::var(LAYER).unwrap_or_default();
    match std::env::var(ROLE).as_deref() {
        Ok("middle") => {
            let status = again("last", &layer).status();
            panic!("the last process has left before its parent: {status:?}");
        }
        Ok("last") => {
            let parent = rustix::process::getppid().unwrap();
            assert!(!arm_layer("none", u32::MAX), "a wrong parent is a parent that is gone");
            assert!(arm_layer(&layer, u32::try_from(parent.as_raw_pid()).unwrap()));
            println!("\narmed");
            // Like a worker in synchronous code: only the guard can end it.
            loop {
                std::hint::spin_loop();
                std::thread::yield_now();
            }
        }
        // A user started it with --ignored.
        _ => {}
    }
}

fn arm_layer(layer: &str, parent: u32) -> bool {
    let pid = i32::try_from(parent).ok().and_then(Pid::from_raw);
    match layer {
        "all" => return watch_parent(parent),
        "signal" => request_death_signal(),
        "pidfd" => watch(pid.unwrap(), wait_by_pidfd),
        "looking" => watch(pid.unwrap(), |_| false),
        _ => {}
    }
    is_parent(parent)
}

fn follows_its_parent(layer: &str) {
    let mut middle = again("middle", layer).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(middle.stdout.take().unwrap());
    let mut line = String::new();
    while line.trim() != "armed" {
        line.clear();
        assert_ne!(output.read_line(&mut line).unwrap(), 0, "the last process never came so far");
    }
    middle.kill().unwrap();
    middle.wait().unwrap();
    // The last process holds the other end, so the end of the output is its end. If it lives on,
    // the test hangs.
    output.read_to_string(&mut line).unwrap();
}

#[test]
fn all_layers_together() {
    follows_its_parent("all");
}

#[cfg(target_os = "linux")]
#[test]
fn the_death_signal_alone() {
    follows_its_parent("signal");
}

#[cfg(target_os = "linux")]
#[test]
fn the_watching_thread_alone() {
    follows_its_parent("pidfd");
}

#[test]
fn looking_every_now_and_then_alone() {
    follows_its_parent("looking");
}
