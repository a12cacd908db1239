//! Starting a worker, by `posix_spawn`: its price does not grow with our memory, as that of `fork`
//! does.
//!
//! A worker begins in a clean room, whatever our own process looks like: its own process group, no
//! ignored signals and none blocked but SIGTSTP, `/dev/null` at 0, and no descriptors but these:
//!
//! ```text
//!   0 /dev/null    1 stdout    2 stderr    3 channel    4 shared page (only if there is one)
//! ```

#![expect(unsafe_code, reason = "posix_spawn and its parameters are C")]

use std::borrow::Cow;
use std::ffi::{CStr, CString, c_char, c_int, c_short};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr;

use rustix::io::Errno;
use rustix::process::Pid;

use super::errno;
use super::weak_symbols::{WeakSymbols, weak_symbols};

/// Where the worker finds its channel.
pub(crate) const CHANNEL_FD: RawFd = 3;
/// Where the worker finds the shared page.
pub(crate) const PAGE_FD: RawFd = 4;

/// Sources are first moved up here, so that no `dup2` onto 1 to 4 overwrites one that is still to
/// come.
const OUT_OF_THE_WAY: RawFd = 20;

/// What to start. Strings are the caller's business: no shell looks at them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SpawnSpec<'a> {
    /// With a slash it is a path, which counts from `cwd`; without one it is looked for in our own
    /// `PATH`.
    pub program: &'a CStr,
    /// The arguments behind the program's name.
    pub args: &'a [CString],
    /// The whole environment, `NAME=value` each.
    pub env: &'a [CString],
    /// The working directory; `None` is ours.
    pub cwd: Option<&'a CStr>,
    /// The worker's end of the channel.
    pub channel: BorrowedFd<'a>,
    /// The shared page; without one nothing is open at 4.
    pub page: Option<BorrowedFd<'a>>,
    /// What it writes to 1.
    pub stdout: Stdio<'a>,
    /// What it writes to 2.
    pub stderr: Stdio<'a>,
}

/// Where a standard stream goes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stdio<'a> {
    /// Where ours goes; `/dev/null` if ours is closed.
    Inherit,
    /// Nowhere.
    Null,
    /// There.
    Fd(BorrowedFd<'a>),
}

/// A process that could not be started. Nothing is left of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{step} {what:?} failed: {}: {}{}", errno::name(*.errno), errno::words(*.errno), .step.hint())]
pub struct SpawnError {
    /// What was being done.
    pub step: Step,
    /// The program, or the directory, that it was done to.
    pub what: String,
    /// The system's error number.
    pub errno: i32,
}

/// What went wrong in a spawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// We are out of something that has to be there before: descriptors, memory.
    Prepare,
    /// The working directory cannot be entered.
    Directory,
    /// The program cannot be started.
    Program,
    /// The program is there, but what is to run it is not: the interpreter in its first line, or
    /// its loader.
    Interpreter,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Prepare => "preparing to spawn",
            Self::Directory => "entering the directory",
            Self::Program | Self::Interpreter => "spawning",
        })
    }
}

impl Step {
    fn hint(self) -> &'static str {
        match self {
            Self::Interpreter => " (the file itself is there; its interpreter is not)",
            Self::Prepare | Self::Directory | Self::Program => "",
        }
    }
}

impl SpawnError {
    /// The error's name, for instance `ENOENT`.
    pub fn code(&self) -> Cow<'static, str> {
        errno::name(self.errno)
    }

    /// The same call may work later: we or the machine are short of something, or the program is
    /// just being written.
    pub fn is_temporary(&self) -> bool {
        errno::is_temporary(self.errno)
    }

    fn preparing(spec: &SpawnSpec<'_>, errno: Errno) -> Self {
        Self {
            step: Step::Prepare,
            what: spec.program.to_string_lossy().into_owned(),
            errno: errno.raw_os_error(),
        }
    }
}

/// Starts a worker and returns its pid, which is also its process group. The pid stays its own
/// until someone reaps it: give it to a [`Waiter`](super::Waiter) at once.
///
/// The worker's end of the channel stays open here as well; close it after this, or its end of file
/// is never seen.
pub(crate) fn spawn(spec: &SpawnSpec<'_>) -> Result<Pid, SpawnError> {
    spawn_by(weak_symbols(), spec)
}

pub(super) fn spawn_by(symbols: &WeakSymbols, spec: &SpawnSpec<'_>) -> Result<Pid, SpawnError> {
    let prepared =
        Prepared::new(symbols, spec).map_err(|errno| SpawnError::preparing(spec, errno))?;
    prepared.run(spec).map_err(|errno| explain(spec, errno))
}

/// The error of `posix_spawn` does not say which of the child's steps it comes from. We look
/// ourselves; at worst the file system has changed since, and the message is less exact.
fn explain(spec: &SpawnSpec<'_>, errno: Errno) -> SpawnError {
    let error = |step, what: &CStr, errno: Errno| SpawnError {
        step,
        what: what.to_string_lossy().into_owned(),
        errno: errno.raw_os_error(),
    };
    if matches!(
        errno,
        Errno::NOENT | Errno::NOTDIR | Errno::ACCESS | Errno::LOOP | Errno::NAMETOOLONG
    ) {
        if let Some(cwd) = spec.cwd
            && let Err(errno) = can_enter(cwd)
        {
            return error(Step::Directory, cwd, errno);
        }
        if errno == Errno::NOENT
            && spec.program.to_bytes().starts_with(b"/")
            && rustix::fs::access(spec.program, rustix::fs::Access::EXISTS).is_ok()
        {
            return error(Step::Interpreter, spec.program, errno);
        }
    }
    error(Step::Program, spec.program, errno)
}

fn can_enter(directory: &CStr) -> Result<(), Errno> {
    let kind = rustix::fs::FileType::from_raw_mode(rustix::fs::stat(directory)?.st_mode);
    if !kind.is_dir() {
        return Err(Errno::NOTDIR);
    }
    rustix::fs::access(directory, rustix::fs::Access::EXEC_OK)
}

/// Everything `posix_spawn` wants, with the descriptors it refers to.
struct Prepared {
    actions: FileActions,
    attributes: Attributes,
    /// Named by number in `actions`, hence kept until after the call.
    _moved: Vec<OwnedFd>,
}

impl Prepared {
    fn new(symbols: &WeakSymbols, spec: &SpawnSpec<'_>) -> Result<Self, Errno> {
        let mut actions = FileActions::new()?;
        let mut moved = Vec::with_capacity(4);
        actions.open(0, libc::O_RDONLY)?;
        let mut place = |source: BorrowedFd<'_>, target| -> Result<(), Errno> {
            let copy = rustix::io::fcntl_dupfd_cloexec(source, OUT_OF_THE_WAY)?;
            actions.dup2(copy.as_raw_fd(), target)?;
            moved.push(copy);
            Ok(())
        };
        let mut to_null = Vec::with_capacity(2);
        // A closed standard stream is a BorrowedFd all the same; placing it fails with EBADF.
        let (stdout, stderr) = (std::io::stdout(), std::io::stderr());
        for (stdio, inherited, target) in
            [(spec.stdout, stdout.as_fd(), 1), (spec.stderr, stderr.as_fd(), 2)]
        {
            match stdio {
                Stdio::Fd(source) => place(source, target)?,
                Stdio::Null => to_null.push(target),
                Stdio::Inherit => match place(inherited, target) {
                    Err(Errno::BADF) => to_null.push(target),
                    other => other?,
                },
            }
        }
        place(spec.channel, CHANNEL_FD)?;
        if let Some(page) = spec.page {
            place(page, PAGE_FD)?;
        }
        for target in to_null {
            actions.open(target, libc::O_WRONLY)?;
        }
        actions.close_from(symbols, if spec.page.is_some() { PAGE_FD + 1 } else { PAGE_FD })?;
        if let Some(cwd) = spec.cwd {
            actions.chdir(symbols, cwd)?;
        }
        Ok(Self { actions, attributes: Attributes::new()?, _moved: moved })
    }

    fn run(&self, spec: &SpawnSpec<'_>) -> Result<Pid, Errno> {
        let args =
            pointers(std::iter::once(spec.program).chain(spec.args.iter().map(CString::as_c_str)));
        let env = pointers(spec.env.iter().map(CString::as_c_str));
        let by_path = spec.program.to_bytes().contains(&b'/');
        let posix_spawn = if by_path { libc::posix_spawn } else { libc::posix_spawnp };
        let mut pid = 0;
        // SAFETY: both lists are arrays of C strings that outlive the call and end in null; actions
        // and attributes are initialised, and the descriptors they name are open.
        check(unsafe {
            posix_spawn(
                &raw mut pid,
                spec.program.as_ptr(),
                &raw const self.actions.0,
                &raw const self.attributes.0,
                args.as_ptr(),
                env.as_ptr(),
            )
        })?;
        Ok(Pid::from_raw(pid)
            .expect("a successful posix_spawn gives the pid of a child, which is positive"))
    }
}

/// Null-terminated, as `exec` wants it. It promises not to write through these pointers.
fn pointers<'s>(strings: impl Iterator<Item = &'s CStr>) -> Vec<*mut c_char> {
    strings.map(|string| string.as_ptr().cast_mut()).chain([ptr::null_mut()]).collect()
}

/// The `posix_spawn` family returns its error instead of setting `errno`.
fn check(result: c_int) -> Result<(), Errno> {
    if result == 0 { Ok(()) } else { Err(Errno::from_raw_os_error(result)) }
}

struct FileActions(libc::posix_spawn_file_actions_t);

impl FileActions {
    fn new() -> Result<Self, Errno> {
        let mut actions = MaybeUninit::uninit();
        // SAFETY: the pointer is to writable memory of the right type.
        check(unsafe { libc::posix_spawn_file_actions_init(actions.as_mut_ptr()) })?;
        // SAFETY: the call above succeeded, so it has initialised the object.
        Ok(Self(unsafe { actions.assume_init() }))
    }

    /// `/dev/null` at `target`.
    fn open(&mut self, target: RawFd, flags: c_int) -> Result<(), Errno> {
        // SAFETY: the object is initialised, and the path is a C string, which the call copies.
        check(unsafe {
            libc::posix_spawn_file_actions_addopen(
                &raw mut self.0,
                target,
                c"/dev/null".as_ptr(),
                flags,
                0,
            )
        })
    }

    fn dup2(&mut self, source: RawFd, target: RawFd) -> Result<(), Errno> {
        // SAFETY: the object is initialised.
        check(unsafe { libc::posix_spawn_file_actions_adddup2(&raw mut self.0, source, target) })
    }

    fn chdir(&mut self, symbols: &WeakSymbols, directory: &CStr) -> Result<(), Errno> {
        let addchdir = symbols.addchdir.ok_or(Errno::NOTSUP)?;
        // SAFETY: the object is initialised, and the path is a C string, which the call copies.
        check(unsafe { addchdir(&raw mut self.0, directory.as_ptr()) })
    }

    /// Closes `first` and everything above it.
    #[cfg(not(target_vendor = "apple"))]
    fn close_from(&mut self, symbols: &WeakSymbols, first: RawFd) -> Result<(), Errno> {
        if let Some(addclosefrom) = symbols.addclosefrom {
            // SAFETY: the object is initialised.
            return check(unsafe { addclosefrom(&raw mut self.0, first) });
        }
        // What some other thread opens without close-on-exec from here on is not closed. The common
        // runtimes never do.
        for fd in inheritable_from(first)? {
            // SAFETY: the object is initialised.
            check(unsafe { libc::posix_spawn_file_actions_addclose(&raw mut self.0, fd) })?;
        }
        Ok(())
    }

    /// The attribute POSIX_SPAWN_CLOEXEC_DEFAULT does it.
    #[cfg(target_vendor = "apple")]
    fn close_from(&mut self, _: &WeakSymbols, _: RawFd) -> Result<(), Errno> {
        Ok(())
    }
}

impl Drop for FileActions {
    fn drop(&mut self) {
        // SAFETY: the object is initialised and not used after this.
        unsafe { libc::posix_spawn_file_actions_destroy(&raw mut self.0) };
    }
}

/// The open descriptors from `first` on that a child would inherit.
#[cfg(not(target_vendor = "apple"))]
fn inheritable_from(first: RawFd) -> Result<Vec<RawFd>, Errno> {
    use rustix::io::FdFlags;

    let entries = std::fs::read_dir("/proc/self/fd").or_else(|_| std::fs::read_dir("/dev/fd"));
    let entries = entries.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    let numbers =
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<RawFd>().ok());
    let inheritable = numbers.filter(|&fd| {
        // SAFETY: another thread may close it at this moment, which makes the call fail, and
        // nothing worse: the descriptor is only asked for its flags.
        let fd_flags = |fd| rustix::io::fcntl_getfd(unsafe { BorrowedFd::borrow_raw(fd) });
        fd >= first && fd_flags(fd).is_ok_and(|flags| !flags.contains(FdFlags::CLOEXEC))
    });
    Ok(inheritable.collect())
}

struct Attributes(libc::posix_spawnattr_t);

impl Attributes {
    fn new() -> Result<Self, Errno> {
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: the pointer is to writable memory of the right type.
        check(unsafe { libc::posix_spawnattr_init(attributes.as_mut_ptr()) })?;
        // SAFETY: the call above succeeded, so it has initialised the object.
        let mut attributes = Self(unsafe { attributes.assume_init() });
        let object = &raw mut attributes.0;

        let flags = libc::POSIX_SPAWN_SETPGROUP
            | libc::POSIX_SPAWN_SETSIGDEF
            | libc::POSIX_SPAWN_SETSIGMASK;
        #[cfg(target_vendor = "apple")]
        let flags = flags | libc::POSIX_SPAWN_CLOEXEC_DEFAULT;
        let (mut every, mut stop) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        // SAFETY: the object is initialised; the calls that fill the signal sets cannot fail on
        // valid pointers and come before those that read them. KILL and STOP always have their
        // default disposition and may not be set.
        unsafe {
            libc::sigfillset(every.as_mut_ptr());
            libc::sigdelset(every.as_mut_ptr(), libc::SIGKILL);
            libc::sigdelset(every.as_mut_ptr(), libc::SIGSTOP);
            // Ctrl-Z reaches the child as well while it is still in our group, and waits there,
            // blocked. Were it let through before `exec`, the child would stop; and we, who wait
            // for the `exec`, with it, for good.
            libc::sigemptyset(stop.as_mut_ptr());
            libc::sigaddset(stop.as_mut_ptr(), libc::SIGTSTP);
            check(libc::posix_spawnattr_setflags(object, flags as c_short))?;
            check(libc::posix_spawnattr_setpgroup(object, 0))?;
            check(libc::posix_spawnattr_setsigdefault(object, every.as_ptr()))?;
            check(libc::posix_spawnattr_setsigmask(object, stop.as_ptr()))?;
        }
        Ok(attributes)
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: the object is initialised and not used after this.
        unsafe { libc::posix_spawnattr_destroy(&raw mut self.0) };
    }
}
