//! Tests with real children: their start, their surroundings, their end.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::child_state::{ChildState, child_state};
use super::spawn::Step;
use super::spawn::spawn_by;
use super::weak_symbols::{WeakSymbols, weak_symbols};
use super::*;

/// A child, and the test's ends of its channel and its stdout.
struct Child {
    pid: Pid,
    channel: OwnedFd,
    stdout: File,
}

struct Options<'a> {
    program: &'a CStr,
    args: Vec<&'a str>,
    cwd: Option<&'a CStr>,
    page: bool,
    symbols: WeakSymbols,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self { program: c"/bin/sh", args: vec![], cwd: None, page: false, symbols: *weak_symbols() }
    }
}

fn start(options: Options<'_>) -> Result<Child, SpawnError> {
    let (channel, theirs) = channel::channel_pair().unwrap();
    // Blocking, so that tests can read to the end.
    let (stdout, out) = std::io::pipe().unwrap();
    let args: Vec<CString> = options.args.iter().map(|arg| CString::new(*arg).unwrap()).collect();
    let env = [c"PATH=/usr/bin:/bin".to_owned(), c"ONLY=this".to_owned()];
    let null = File::open("/dev/null").unwrap();
    let pid = spawn_by(
        &options.symbols,
        &SpawnSpec {
            program: options.program,
            args: &args,
            env: &env,
            cwd: options.cwd,
            channel: theirs.as_fd(),
            page: options.page.then_some(null.as_fd()),
            stdout: Stdio::Fd(out.as_fd()),
            stderr: Stdio::Null,
        },
    )?;
    Ok(Child { pid, channel, stdout: File::from(OwnedFd::from(stdout)) })
}

fn shell(script: &str) -> Child {
    start(Options { args: vec!["-c", script], ..Options::default() }).unwrap()
}

impl Child {
    /// Returns all that the child prints, until it and its children have closed their stdout.
    fn output(&mut self) -> String {
        let mut text = String::new();
        self.stdout.read_to_string(&mut text).unwrap();
        text
    }

    /// Returns one line of the child's output, while the child runs.
    fn line(&mut self) -> String {
        let mut line = Vec::new();
        let mut byte = [0];
        while self.stdout.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap()
    }
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(20), test)
            .await
            .expect("a test with children took 20 seconds")
    })
}

/// Runs a test with both mechanisms.
fn with_both<T: Future<Output = ()>>(test: impl Fn(fn(Pid) -> Result<Waiter, CallError>) -> T) {
    run(test(Waiter::new));
    run(test(Waiter::with_thread));
}

fn is_gone(pid: Pid) -> bool {
    // A zombie still answers kill, and has its directory in /proc.
    rustix::process::test_kill_process(pid).is_err()
}

async fn exit_of(mut waiter: Waiter) -> Exit {
    waiter.exited().await;
    let exit = waiter.finish().unwrap();
    assert!(is_gone(waiter.pid()));
    assert_eq!(waiter.finish().unwrap(), exit);
    exit
}

// [A2]
#[test]
fn what_cannot_be_started_is_said_plainly() {
    let directory = std::env::temp_dir().join(format!("bulkhead-spawn-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let file = |name: &str, text: &str, mode: u32| {
        let path = directory.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        CString::new(path.into_os_string().into_encoded_bytes()).unwrap()
    };
    let plain = file("plain", "#!/bin/sh\n", 0o644);
    let headless = file("headless", "exit 0\n", 0o755);
    let lost = file("lost", "#!/no/such/interpreter\n", 0o755);

    let error =
        |program: &CStr| start(Options { program, ..Options::default() }).map(|_| ()).unwrap_err();
    let missing = error(c"/no/such/program");
    assert_eq!(
        missing.to_string(),
        "spawning \"/no/such/program\" failed: ENOENT: no such file or directory"
    );
    assert_eq!(error(c"no-such-program-in-the-path").code(), "ENOENT");
    assert_eq!(error(&plain).code(), "EACCES");
    assert_eq!(error(c"/").code(), "EACCES");
    assert_eq!(error(&headless).code(), "ENOEXEC");
    assert_eq!((error(&lost).step, error(&lost).errno), (Step::Interpreter, libc::ENOENT));
    assert!(!missing.is_temporary());

    let error = |cwd: &CStr| {
        start(Options { cwd: Some(cwd), ..Options::default() }).map(|_| ()).unwrap_err()
    };
    let nowhere = error(c"/no/such/directory");
    assert_eq!(
        nowhere.to_string(),
        "entering the directory \"/no/such/directory\" failed: ENOENT: no such file or directory"
    );
    assert_eq!(error(&plain).code(), "ENOTDIR");
    let no_chdir = WeakSymbols { addchdir: None, ..*weak_symbols() };
    let error = start(Options { cwd: Some(c"/"), symbols: no_chdir, ..Options::default() })
        .map(|_| ())
        .unwrap_err();
    assert_eq!((error.step, error.errno), (Step::Prepare, libc::ENOTSUP));
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn arguments_environment_and_directory_arrive() {
    let mut child = start(Options {
        args: vec![
            "-c",
            "printf '%s|' \"$@\"; pwd; env | grep -v -e ^PWD= -e ^_= -e ^OLDPWD= -e ^SHLVL=",
            "sh",
            "a b",
            "",
        ],
        cwd: Some(c"/usr"),
        ..Options::default()
    })
    .unwrap();
    let mut lines: Vec<String> = child.output().lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["ONLY=this", "PATH=/usr/bin:/bin", "a b||/usr"]);
    kill_and_reap(child.pid).unwrap();
}

#[test]
fn a_program_without_a_slash_is_found_in_our_path() {
    let child = start(Options { program: c"true", ..Options::default() }).unwrap();
    run(async { assert_eq!(exit_of(Waiter::new(child.pid).unwrap()).await.code, Some(0)) });
}

#[test]
fn exit_codes_and_signals_are_told_apart() {
    with_both(|waiter| async move {
        for code in [0, 1, 42, 255] {
            let exit = exit_of(waiter(shell(&format!("exit {code}")).pid).unwrap()).await;
            assert_eq!((exit.code, exit.signal), (Some(code), None));
        }
        for (signal, name) in
            [("KILL", "SIGKILL"), ("TERM", "SIGTERM"), ("SEGV", "SIGSEGV"), ("ABRT", "SIGABRT")]
        {
            let exit =
                exit_of(waiter(shell(&format!("ulimit -c 0; kill -{signal} $$")).pid).unwrap())
                    .await;
            assert_eq!(exit.code, None);
            assert_eq!(signal::name(exit.signal.unwrap()), name);
        }
    });
}

#[test]
fn waiting_can_be_given_up_and_taken_up_again() {
    with_both(|waiter| async move {
        let mut child = shell("read line <&3; exit 3");
        let mut waiter = waiter(child.pid).unwrap();
        for _ in 0..3 {
            tokio::time::timeout(Duration::from_millis(5), waiter.exited()).await.unwrap_err();
        }
        assert_eq!(waiter.reap().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
        assert_eq!(rustix::io::write(&child.channel, b"\n").unwrap(), 1);
        waiter.exited().await;
        // The wait does not reap it.
        assert_eq!(child_state(child.pid), ChildState::Zombie);
        waiter.exited().await;
        assert_eq!(waiter.reap().unwrap().code, Some(3));
        waiter.exited().await;
        assert_eq!(child_state(child.pid), ChildState::Reaped);
        for sent in [
            waiter.target().kill(),
            waiter.target().signal_alone(Signal::KILL),
            waiter.target().ask_to_stop(),
        ] {
            assert_eq!(sent.unwrap_err().raw_os_error(), Some(libc::ESRCH));
        }
        assert_eq!(child.output(), "");
    });
}

// [G19]
#[test]
fn a_child_that_someone_else_reaped_has_an_unknown_exit() {
    with_both(|waiter| async move {
        let child = shell("read line <&3");
        let mut waiter = waiter(child.pid).unwrap();
        kill_and_reap(child.pid).unwrap();
        waiter.exited().await;
        assert_eq!(waiter.finish().unwrap(), Exit::default());
    });
    let child = shell("exit 0");
    kill_and_reap(child.pid).unwrap();
    run(async {
        let mut waiter = Waiter::new(child.pid).unwrap();
        waiter.exited().await;
        assert_eq!(waiter.finish().unwrap(), Exit::default());
    });
}

#[test]
fn finish_ends_the_grandchildren_as_well() {
    with_both(|waiter| async move {
        let mut child = shell("sleep 1000 & (trap '' TERM; sleep 1000) & echo started; exit 7");
        assert_eq!(child.line(), "started");
        let mut waiter = waiter(child.pid).unwrap();
        waiter.exited().await;
        assert_eq!(waiter.finish().unwrap().code, Some(7));
        // The grandchildren held it open.
        assert_eq!(child.output(), "");
    });
}

#[test]
fn finish_kills_a_child_that_is_still_alive() {
    with_both(|waiter| async move {
        let child = shell("read line <&3");
        let mut waiter = waiter(child.pid).unwrap();
        if let Err(error) = waiter.finish() {
            assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
        }
        waiter.exited().await;
        assert_eq!(waiter.finish().unwrap().signal, Some(libc::SIGKILL));
        drop(child);
    });
}

#[test]
fn asking_to_stop_reaches_a_stopped_child() {
    with_both(|waiter| async move {
        let mut child = shell("trap 'exit 5' TERM; echo ready; while :; do sleep 0.01; done");
        assert_eq!(child.line(), "ready");
        let mut waiter = waiter(child.pid).unwrap();
        waiter.target().signal_alone(Signal::STOP).unwrap();
        waiter.target().ask_to_stop().unwrap();
        waiter.exited().await;
        assert_eq!(waiter.finish().unwrap().code, Some(5));
    });
}

#[test]
fn kill_and_reap_leaves_nothing() {
    let mut child = shell("sleep 1000 & echo started; wait");
    assert_eq!(child.line(), "started");
    assert_eq!(kill_and_reap(child.pid).unwrap().signal, Some(libc::SIGKILL));
    assert!(is_gone(child.pid));
    assert_eq!(child.output(), "");
}

#[test]
fn the_channel_carries_both_ways_and_ends_with_the_child() {
    use std::os::unix::net::UnixStream;

    let child = shell("read line <&3; echo \"got $line\" >&3");
    let mut channel = UnixStream::from(child.channel);
    assert!(rustix::fs::fcntl_getfl(&channel).unwrap().contains(rustix::fs::OFlags::NONBLOCK));
    channel.set_nonblocking(false).unwrap();
    std::io::Write::write_all(&mut channel, b"this\n").unwrap();
    let mut text = String::new();
    channel.read_to_string(&mut text).unwrap();
    assert_eq!(text, "got this\n");
    kill_and_reap(child.pid).unwrap();
}

#[test]
fn pipes_do_not_block_us_and_stay_ours() {
    let (ours, theirs) = channel::pipe().unwrap();
    assert_eq!(rustix::io::read(&ours, &mut [0; 1]).unwrap_err(), rustix::io::Errno::AGAIN);
    assert!(!rustix::fs::fcntl_getfl(&theirs).unwrap().contains(rustix::fs::OFlags::NONBLOCK));
    let (channel, other) = channel::channel_pair().unwrap();
    assert!(!rustix::fs::fcntl_getfl(&other).unwrap().contains(rustix::fs::OFlags::NONBLOCK));
    for fd in [&ours, &theirs, &channel, &other] {
        assert!(rustix::io::fcntl_getfd(fd).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
    }
}

/// The other tests ask the kernel about the child, as Linux allows.
#[cfg(target_os = "linux")]
mod linux {
    #![expect(
        unsafe_code,
        reason = "our own state is made unusual, so that the child could inherit it"
    )]

    use std::os::fd::AsRawFd;

    use super::*;

    const LIST_DESCRIPTORS: &str =
        "i=0; while [ $i -lt 1024 ]; do [ -e /proc/$$/fd/$i ] && printf '%s ' $i; i=$((i+1)); done";

    // [A17]
    #[test]
    fn only_its_own_descriptors_are_open() {
        let leaky = File::open("/dev/null").unwrap();
        // Without close-on-exec, as careless code opens them. The numbers are the lowest free ones
        // from these on.
        let leaks = [9, 20, 500].map(|least| {
            // SAFETY: F_DUPFD makes a new descriptor and touches no other.
            let fd = unsafe { libc::fcntl(leaky.as_raw_fd(), libc::F_DUPFD, least) };
            assert!(fd >= least);
            // SAFETY: the call above made it, and no other code knows it.
            unsafe { <OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(fd) }
        });
        for symbols in [*weak_symbols(), WeakSymbols { addclosefrom: None, ..*weak_symbols() }] {
            for (page, expected) in [(true, "0 1 2 3 4 "), (false, "0 1 2 3 ")] {
                let mut child = start(Options {
                    args: vec!["-c", LIST_DESCRIPTORS],
                    page,
                    symbols,
                    ..Options::default()
                })
                .unwrap();
                assert_eq!(child.output(), expected);
                kill_and_reap(child.pid).unwrap();
            }
        }
        drop(leaks);
    }

    #[test]
    fn standard_streams_go_where_they_should() {
        let mut child = shell("for i in 0 1 2 3; do readlink /proc/$$/fd/$i; done");
        let output = child.output();
        let lines: Vec<&str> = output.lines().collect();
        assert_eq!((lines[0], lines[2]), ("/dev/null", "/dev/null"));
        assert!(lines[1].starts_with("pipe:") && lines[3].starts_with("socket:"), "{lines:?}");
        kill_and_reap(child.pid).unwrap();

        let (ours, theirs) = channel::channel_pair().unwrap();
        let args = [
            c"-c".to_owned(),
            c"both=$(readlink /proc/$$/fd/1 /proc/$$/fd/2); echo \"$both\" >&3".to_owned(),
        ];
        let pid = spawn(&SpawnSpec {
            program: c"/bin/sh",
            args: &args,
            env: &[c"PATH=/usr/bin:/bin".to_owned()],
            cwd: None,
            channel: theirs.as_fd(),
            page: None,
            stdout: Stdio::Inherit,
            stderr: Stdio::Inherit,
        })
        .unwrap();
        drop(theirs);
        let mut channel = std::os::unix::net::UnixStream::from(ours);
        channel.set_nonblocking(false).unwrap();
        let mut text = String::new();
        channel.read_to_string(&mut text).unwrap();
        let inherited = [1, 2].map(|fd| std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap());
        assert_eq!(text, format!("{}\n{}\n", inherited[0].display(), inherited[1].display()));
        kill_and_reap(pid).unwrap();
    }

    // [A15, A16]
    #[test]
    fn no_signal_is_ignored_and_none_blocked_but_the_one_of_ctrl_z() {
        // A thread of its own, so that the test may change its mask. Rust's runtime ignores
        // SIGPIPE, and a child would inherit that.
        let status = std::thread::spawn(|| {
            super::super::signal::block_all();
            // No shell, because some shells set a mask of their own.
            let args = vec!["-e", "SigBlk", "-e", "SigIgn", "/proc/self/status"];
            let mut child =
                start(Options { program: c"grep", args, ..Options::default() }).unwrap();
            let status = child.output();
            kill_and_reap(child.pid).unwrap();
            status
        });
        let status = status.join().unwrap();
        let mask = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            u64::from_str_radix(line.trim(), 16).unwrap()
        };
        assert_eq!(mask("SigBlk:"), 1 << (libc::SIGTSTP - 1));
        // glibc leaves its own two signals, 32 and 33, ignored in every process that it spawns.
        assert_eq!(mask("SigIgn:") & !(0b11 << 31), 0);
    }

    #[test]
    fn it_leads_its_own_group() {
        let mut child = shell("cut -d' ' -f5 /proc/$$/stat");
        assert_eq!(child.output().trim(), child.pid.as_raw_pid().to_string());
        kill_and_reap(child.pid).unwrap();
    }

    #[test]
    fn peak_memory_is_the_childs_own() {
        // The child's account must not show memory that this process has touched.
        let ballast = std::hint::black_box(vec![1_u8; 64 << 20]);
        let small = run(async { exit_of(Waiter::new(shell("exit 0").pid).unwrap()).await });
        assert_eq!(small.max_rss_bytes, 0);
        drop(ballast);
        let script = "exec dd if=/dev/zero of=/dev/null bs=400M count=1";
        let big = run(async { exit_of(Waiter::new(shell(script).pid).unwrap()).await });
        assert!(big.max_rss_bytes > 400_000_000, "{big:?}");
    }

    // [A6]
    #[test]
    fn no_descriptor_for_a_pidfd_is_an_error_and_no_hang() {
        // In a process of its own, because the limit would starve the other tests.
        const MARK: &str = "BULKHEAD_TEST_FD_LIMIT";
        if std::env::var_os(MARK).is_none() {
            let test = "no_descriptor_for_a_pidfd_is_an_error_and_no_hang";
            let status = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--test-threads=1", test])
                .env(MARK, "1")
                .status();
            assert!(status.unwrap().success());
            return;
        }
        run(async {
            let child = shell("read line <&3");
            let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
            let limit = rustix::process::Rlimit { current: Some(100), ..limit };
            rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
            let mut hoard = Vec::new();
            while let Ok(file) = File::open("/dev/null") {
                hoard.push(file);
            }
            if std::env::var_os("BULKHEAD_NO_PIDFD").is_none() {
                let error = Waiter::new(child.pid).unwrap_err();
                assert_eq!(error.to_string(), "pidfd_open failed: EMFILE: too many open files");
                assert!(error.is_temporary());
            }
            assert_eq!(kill_and_reap(child.pid).unwrap().signal, Some(libc::SIGKILL));
            let error = spawn(&SpawnSpec {
                program: c"/bin/true",
                args: &[],
                env: &[],
                cwd: None,
                channel: hoard[0].as_fd(),
                page: None,
                stdout: Stdio::Null,
                stderr: Stdio::Null,
            })
            .unwrap_err();
            assert_eq!((error.code().as_ref(), error.step), ("EMFILE", Step::Prepare));
            assert!(error.is_temporary());
        });
    }
}
