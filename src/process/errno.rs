//! Errors of system calls: their names, as JavaScript knows them, and what they mean for trying
//! again.

use std::borrow::Cow;

/// A system call that has failed. Its message says which, and how: `socketpair failed: EMFILE: too
/// many open files`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{call} failed: {}: {}", name(*.errno), words(*.errno))]
pub struct CallError {
    /// The call's name, or what was being done by several.
    pub call: &'static str,
    /// The system's error number.
    pub errno: i32,
}

impl CallError {
    /// For `map_err`: an error of the call `call`.
    pub fn of<E: Into<std::io::Error>>(call: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self { call, errno: error.into().raw_os_error().unwrap_or(libc::EIO) }
    }

    /// The error's name, for instance `EMFILE`.
    pub fn code(&self) -> Cow<'static, str> {
        name(self.errno)
    }

    /// See [`is_temporary`].
    pub fn is_temporary(&self) -> bool {
        is_temporary(self.errno)
    }
}

/// We or the machine are short of something, and the same call may work later. All other errors are
/// in what was asked for, or in what the machine is.
pub(super) fn is_temporary(errno: i32) -> bool {
    let shortages =
        [libc::EAGAIN, libc::ENOMEM, libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOSPC];
    // A program that is just being written.
    shortages.contains(&errno) || errno == libc::ETXTBSY
}

/// `ENOENT` for 2; `E` and the number for an error that starting a process is not known to give.
pub(super) fn name(errno: i32) -> Cow<'static, str> {
    Cow::Borrowed(match errno {
        libc::E2BIG => "E2BIG",
        libc::EACCES => "EACCES",
        libc::EAGAIN => "EAGAIN",
        libc::EBADF => "EBADF",
        libc::EFAULT => "EFAULT",
        libc::EINVAL => "EINVAL",
        libc::EIO => "EIO",
        libc::EISDIR => "EISDIR",
        libc::ELOOP => "ELOOP",
        libc::EMFILE => "EMFILE",
        libc::ENAMETOOLONG => "ENAMETOOLONG",
        libc::ENOBUFS => "ENOBUFS",
        libc::ENFILE => "ENFILE",
        libc::ENOENT => "ENOENT",
        libc::ENOEXEC => "ENOEXEC",
        libc::ENOMEM => "ENOMEM",
        libc::ENOSPC => "ENOSPC",
        libc::ENOSYS => "ENOSYS",
        libc::ENOTDIR => "ENOTDIR",
        libc::ENOTSUP => "ENOTSUP",
        libc::EPERM => "EPERM",
        libc::ETXTBSY => "ETXTBSY",
        other => return Cow::Owned(format!("E{other}")),
    })
}

/// `no such file or directory` for 2: the system's words, in lower case so that they fit into a
/// sentence.
pub(super) fn words(errno: i32) -> String {
    let text = std::io::Error::from_raw_os_error(errno).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}
