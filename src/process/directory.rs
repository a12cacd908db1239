//! The directory that workers start in.

use std::ffi::{CStr, CString};

use rustix::fs::stat;

use super::late::late;

/// Where workers start, whatever becomes of this process's own directory.
#[derive(Clone, Debug)]
pub struct Directory {
    path: CString,
    /// Of this process's directory, where that is the one that is meant.
    own: Option<FileId>,
}

/// Device and inode.
type FileId = (u64, u64);

impl Directory {
    /// The one at this path.
    pub fn at(path: CString) -> Self {
        Self { path, own: None }
    }

    /// The one in which this process is now, which is at this path.
    pub fn own(path: CString) -> Self {
        Self { path, own: id(c".") }
    }

    /// What a worker has to enter. `None`: it is there from the beginning. That is for an own
    /// directory to which the path leads no longer, as it was moved or removed, and for a libc that
    /// cannot have a child enter one.
    pub fn to_enter(&self) -> Option<&CStr> {
        let leads_there = late().addchdir.is_some() && id(&self.path) == self.own;
        let is_there = self.own.is_some() && id(c".") == self.own;
        if leads_there || !is_there { Some(&self.path) } else { None }
    }
}

fn id(path: &CStr) -> Option<FileId> {
    // Their types differ between platforms.
    #[allow(clippy::useless_conversion, clippy::cast_sign_loss, clippy::unnecessary_cast)]
    stat(path).ok().map(|stat| (stat.st_dev as u64, stat.st_ino as u64))
}
