//! The directory that workers start in.

use std::ffi::{CStr, CString};

use rustix::fs::{Access, AtFlags, CWD, Stat, accessat, stat};

use super::weak_symbols::weak_symbols;

/// Where workers start, whatever becomes of this process's own directory.
#[derive(Clone, Debug)]
pub struct Directory {
    path: CString,
    /// Of this process's directory, where that is the one that is meant.
    own: Option<FileId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl Directory {
    /// The one at this path.
    pub fn at(path: CString) -> Self {
        Self { path, own: None }
    }

    /// The one in which this process is now, which is at this path.
    pub fn own(path: CString) -> Self {
        Self { path, own: current() }
    }

    /// What a worker has to enter. `None`: it is there from the beginning. That is for an own
    /// directory to which the path leads no longer, as it was moved or removed, which this process
    /// may not enter any more, or with a libc that cannot have a child enter one. Any other is
    /// entered: this process may be on its way to elsewhere just now.
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

/// By no path at all: to look at `.` takes the right to enter it.
#[cfg(target_os = "linux")]
fn current() -> Option<FileId> {
    rustix::fs::statat(CWD, c"", AtFlags::EMPTY_PATH).ok().as_ref().map(FileId::from)
}

#[cfg(not(target_os = "linux"))]
fn current() -> Option<FileId> {
    id(c".")
}

impl From<&Stat> for FileId {
    // Their types differ between platforms.
    #[allow(clippy::unnecessary_cast, clippy::cast_sign_loss)]
    fn from(stat: &Stat) -> Self {
        Self { device: stat.st_dev as u64, inode: stat.st_ino as u64 }
    }
}
