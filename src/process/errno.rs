//! Errors of system calls: the names by which JavaScript knows them, and whether a new attempt can
//! help.

use std::borrow::Cow;

/// A failed system call. Its message names the call and the error: `socketpair failed: EMFILE: too
/// many open files`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{call} failed: {}: {}", name(*.errno), words(*.errno))]
pub struct CallError {
    /// The name of the call, or of an action that takes several calls.
    pub call: &'static str,
    /// The system's error number.
    pub errno: i32,
}

impl CallError {
    /// Returns a function for `map_err` that makes an error of the call `call`.
    pub fn of<E: Into<std::io::Error>>(call: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self { call, errno: error.into().raw_os_error().unwrap_or(libc::EIO) }
    }

    /// Returns the error's name, for instance `EMFILE`.
    pub fn code(&self) -> Cow<'static, str> {
        name(self.errno)
    }

    /// Returns whether a later attempt may succeed.
    pub fn is_temporary(&self) -> bool {
        is_temporary(self.errno)
    }
}

/// Returns whether the error is a shortage, so that the same call may succeed later. All other
/// errors lie in the request, or in the machine.
pub(super) fn is_temporary(errno: i32) -> bool {
    let shortages =
        [libc::EAGAIN, libc::ENOMEM, libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOSPC];
    // ETXTBSY: other code is writing the program at this moment.
    shortages.contains(&errno) || errno == libc::ETXTBSY
}

/// Returns `ENOENT` for 2. An error that no spawn is known to give becomes `E` and its number.
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

/// Returns the system's words, `no such file or directory` for 2. They are in lower case, so that
/// they fit into a sentence.
pub(super) fn words(errno: i32) -> String {
    let text = std::io::Error::from_raw_os_error(errno).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}
