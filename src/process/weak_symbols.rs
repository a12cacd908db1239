//! Functions that not every supported libc has. They are looked up at run time, because an addon
//! that links to them would not load where they are missing.

#![expect(unsafe_code, reason = "a function found by name has the type that we say it has")]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::LazyLock;

type Actions = *mut libc::posix_spawn_file_actions_t;
type AddChdir = unsafe extern "C" fn(Actions, *const c_char) -> c_int;
type AddCloseFrom = unsafe extern "C" fn(Actions, c_int) -> c_int;

/// The functions of this libc that act in the child between `fork` and `exec`.
#[derive(Debug, Clone, Copy)]
pub(super) struct WeakSymbols {
    /// `posix_spawn_file_actions_addchdir_np` (glibc 2.29, musl 1.1.24, macOS 10.15).
    pub(super) addchdir: Option<AddChdir>,
    /// `posix_spawn_file_actions_addclosefrom_np` (glibc 2.34).
    #[cfg_attr(
        target_vendor = "apple",
        expect(dead_code, reason = "a spawn attribute closes them all")
    )]
    pub(super) addclosefrom: Option<AddCloseFrom>,
}

/// Returns the functions of this process's libc.
pub(super) fn weak_symbols() -> &'static WeakSymbols {
    static FOUND: LazyLock<WeakSymbols> = LazyLock::new(|| WeakSymbols {
        addchdir: find_addchdir(),
        addclosefrom: find_addclosefrom(),
    });
    &FOUND
}

#[cfg(not(target_env = "musl"))]
fn find_addchdir() -> Option<AddChdir> {
    // SAFETY: the C signature is `int (posix_spawn_file_actions_t *, const char *)` in both libcs.
    unsafe { look_up(c"posix_spawn_file_actions_addchdir_np") }
}

/// Returns the function, which is older than any musl in use. A statically linked musl cannot look
/// up symbols.
#[cfg(target_env = "musl")]
fn find_addchdir() -> Option<AddChdir> {
    Some(libc::posix_spawn_file_actions_addchdir_np)
}

fn find_addclosefrom() -> Option<AddCloseFrom> {
    // SAFETY: as above, with the signature `int (posix_spawn_file_actions_t *, int)`.
    unsafe { look_up(c"posix_spawn_file_actions_addclosefrom_np") }
}

/// Returns the function of this name, if this process has it.
///
/// # Safety
///
/// `F` is the type of a function pointer, and that of the function.
pub(crate) unsafe fn look_up<F: Copy>(name: &CStr) -> Option<F> {
    const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
    // SAFETY: RTLD_DEFAULT asks for no library in particular, and the name is a C string.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    // SAFETY: the caller promises the type, and both types have the size of one pointer.
    (!found.is_null()).then(|| unsafe { std::mem::transmute_copy::<*mut c_void, F>(&found) })
}
