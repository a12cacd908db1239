//! Starts a worker by `posix_spawn`. Unlike `fork`, its cost does not grow with the memory of this
//! process.
//!
//! A worker starts in a clean state, whatever the state of this process. It leads its own process
//! group, ignores no signals, blocks only SIGTSTP, and has only these descriptors:
//!
//! ```text
//!  0 /dev/null    1 stdout    2 stderr    3 channel    4 shared page (if there is one)
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

/// The descriptor of the worker's end of the channel.
pub(crate) const CHANNEL_FD: RawFd = 3;
/// The descriptor of the shared page in the worker.
pub(crate) const PAGE_FD: RawFd = 4;

/// The number from which on the sources are duplicated first, so that no `dup2` onto 1 to 4
/// overwrites a source that is still needed.
const OUT_OF_THE_WAY: RawFd = 20;

/// The process to start. No shell looks at the strings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SpawnSpec<'a> {
    /// A program. With a slash it is a path relative to `cwd`. Without one, this process's `PATH`
    /// is searched.
    pub program: &'a CStr,
    /// The arguments behind the program's name.
    pub args: &'a [CString],
    /// The whole environment, `NAME=value` each.
    pub env: &'a [CString],
    /// The working directory; `None`: that of this process.
    pub cwd: Option<&'a CStr>,
    /// The worker's end of the channel.
    pub channel: BorrowedFd<'a>,
    /// The shared page; `None`: descriptor 4 is closed.
    pub page: Option<BorrowedFd<'a>>,
    /// The target of standard output.
    pub stdout: Stdio<'a>,
    /// The target of standard error.
    pub stderr: Stdio<'a>,
}

/// The target of a standard stream.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stdio<'a> {
    /// The same stream of this process; `/dev/null` if it is closed.
    Inherit,
    /// `/dev/null`.
    Null,
    /// This descriptor.
    Fd(BorrowedFd<'a>),
}

/// A failed start of a process. The start leaves nothing behind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{step} {what:?} failed: {}: {}{}", errno::name(*.errno), errno::words(*.errno), .step.hint())]
pub struct SpawnError {
    /// The step that failed.
    pub step: Step,
    /// The program or the directory of that step.
    pub what: String,
    /// The system's error number.
    pub errno: i32,
}

/// The steps of a spawn that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The preparation: this process has no descriptors or no memory left.
    Prepare,
    /// The change to the working directory.
    Directory,
    /// The start of the program.
    Program,
    /// The start of what runs the program, which itself exists: the interpreter in its first line,
    /// or its loader.
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
    /// Returns the error's name, for instance `ENOENT`.
    pub fn code(&self) -> Cow<'static, str> {
        errno::name(self.errno)
    }

    /// Returns whether the same call may succeed later: there is a shortage, or other code is
    /// writing the program at this moment.
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

/// Starts a worker and returns its pid, which is also its process group. The pid stays the worker's
/// own until it is reaped. Give it to a [`Waiter`](super::Waiter) at once.
///
/// The worker's end of the channel stays open in this process. The caller must close it after this
/// call, or it will never see the end of file.
pub(crate) fn spawn(spec: &SpawnSpec<'_>) -> Result<Pid, SpawnError> {
    spawn_by(weak_symbols(), spec)
}

pub(super) fn spawn_by(symbols: &WeakSymbols, spec: &SpawnSpec<'_>) -> Result<Pid, SpawnError> {
    let prepared =
        Prepared::new(symbols, spec).map_err(|errno| SpawnError::preparing(spec, errno))?;
    prepared.run(spec).map_err(|errno| explain(spec, errno))
}

/// Finds the step that failed, which the error of `posix_spawn` does not tell. If the file system
/// has changed since, the message is less exact.
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

/// The arguments of `posix_spawn`, and the descriptors that they refer to.
struct Prepared {
    actions: FileActions,
    attributes: Attributes,
    /// Named by number in `actions`, and so kept until after the call.
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
        // A closed standard stream is a BorrowedFd, too. Its placement fails with EBADF.
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
        // SAFETY: both lists are arrays of C strings that outlive the call and end in null. Actions
        // and attributes are initialised, and the descriptors that they name are open.
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

/// Returns a null-terminated list for `exec`, which promises not to write through these pointers.
fn pointers<'s>(strings: impl Iterator<Item = &'s CStr>) -> Vec<*mut c_char> {
    strings.map(|string| string.as_ptr().cast_mut()).chain([ptr::null_mut()]).collect()
}

/// Turns the result of a `posix_spawn` function into an error. These functions return it and do not
/// set `errno`.
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

    /// Opens `/dev/null` at `target`.
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
        // A descriptor that another thread opens from here on, without close-on-exec, stays open in
        // the worker. The common runtimes never open such a one.
        for fd in inheritable_from(first)? {
            // SAFETY: the object is initialised.
            check(unsafe { libc::posix_spawn_file_actions_addclose(&raw mut self.0, fd) })?;
        }
        Ok(())
    }

    /// The attribute POSIX_SPAWN_CLOEXEC_DEFAULT closes them.
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

/// Returns the open descriptors from `first` on that a child would inherit.
#[cfg(not(target_vendor = "apple"))]
fn inheritable_from(first: RawFd) -> Result<Vec<RawFd>, Errno> {
    use rustix::io::FdFlags;

    let entries = std::fs::read_dir("/proc/self/fd").or_else(|_| std::fs::read_dir("/dev/fd"));
    let entries = entries.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    let numbers =
        entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<RawFd>().ok());
    let inheritable = numbers.filter(|&fd| {
        // SAFETY: the call only asks for the flags of the descriptor. If another thread closes it
        // at this moment, the call fails.
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
        // SAFETY: the object is initialised. The calls that fill the signal sets cannot fail on
        // valid pointers, and come before those that read them. KILL and STOP always have their
        // default disposition and may not be in the set.
        unsafe {
            libc::sigfillset(every.as_mut_ptr());
            libc::sigdelset(every.as_mut_ptr(), libc::SIGKILL);
            libc::sigdelset(every.as_mut_ptr(), libc::SIGSTOP);
            // The child is at first in the group of this process, so Ctrl-Z reaches it, too, and
            // stays pending. Unblocked, it would stop the child before `exec`; and this process,
            // which waits for the `exec`, would hang for ever.
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
