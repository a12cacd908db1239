//! The names of errors, as JavaScript knows them.

use std::borrow::Cow;

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
        libc::ENFILE => "ENFILE",
        libc::ENOENT => "ENOENT",
        libc::ENOEXEC => "ENOEXEC",
        libc::ENOMEM => "ENOMEM",
        libc::ENOSYS => "ENOSYS",
        libc::ENOTDIR => "ENOTDIR",
        libc::ENOTSUP => "ENOTSUP",
        libc::EPERM => "EPERM",
        libc::ETXTBSY => "ETXTBSY",
        other => return Cow::Owned(format!("E{other}")),
    })
}

/// `no such file or directory` for 2: the system's words, in lower case so that they fit into a sentence.
pub(super) fn words(errno: i32) -> String {
    let text = std::io::Error::from_raw_os_error(errno).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}
