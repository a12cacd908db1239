//! The directory that workers start in.

use std::ffi::{CStr, CString};

use rustix::fs::{Access, AtFlags, CWD, Stat, accessat, stat};

use super::weak_symbols::weak_symbols;

/// The directory in which workers start, whatever happens to this process's own directory.
#[derive(Clone, Debug)]
pub struct Directory {
    path: CString,
    /// This process's directory, if that is the one to start in.
    own: Option<FileId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl Directory {
    /// Names the directory at this path.
    pub fn at(path: CString) -> Self {
        Self { path, own: None }
    }

    /// Names the current directory of this process, which is at this path.
    pub fn own(path: CString) -> Self {
        Self { path, own: current() }
    }

    /// Returns the directory that a worker has to enter. `None`: the worker starts in it anyway,
    /// because this process is in it.
    ///
    /// `None` needs a reason for which the worker cannot enter this process's own directory by its
    /// path. The path no longer leads there, this process may no longer enter it, or the libc
    /// cannot have a child enter one. In all other cases the worker enters it, because this process
    /// may be on its way to another one.
    pub fn to_enter(&self) -> Option<&CStr> {
        let leads_there = || {
            weak_symbols().addchdir.is_some() && id(&self.path) == self.own && may_enter(&self.path)
        };
        let is_there = || current() == self.own;
        if self.own.is_none() || leads_there() || !is_there() { Some(&self.path) } else { None }
    }
}

fn may_enter(path: &CStr) -> bool {
    accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS).is_ok()
}

fn id(path: &CStr) -> Option<FileId> {
    stat(path).ok().as_ref().map(FileId::from)
}

/// Asks without a path, because a look at `.` takes the right to enter it.
#[cfg(target_os = "linux")]
fn current() -> Option<FileId> {
    rustix::fs::statat(CWD, c"", AtFlags::EMPTY_PATH).ok().as_ref().map(FileId::from)
}

#[cfg(not(target_os = "linux"))]
fn current() -> Option<FileId> {
    id(c".")
}

impl From<&Stat> for FileId {
    // The types differ between platforms.
    #[allow(clippy::unnecessary_cast, clippy::cast_sign_loss)]
    fn from(stat: &Stat) -> Self {
        Self { device: stat.st_dev as u64, inode: stat.st_ino as u64 }
    }
}
