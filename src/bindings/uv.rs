//! Has the event loop watch a descriptor, by libuv itself: in a worker the channel, in the parent
//! the channels that its JavaScript thread leads.
//!
//! `net.Socket` would do, but takes two milliseconds to load, and the machinery of a stream for
//! each read. Under Node's permission model it also needs the permission to use the network.
//!
//! Node exports the functions of its libuv, and this code looks them up by name. Bun exports stubs
//! that end the process, and other runtimes may have none. So `lib/worker/listen.js` asks in
//! Node.js only, and has another way if the answer is no.
#![expect(
    unsafe_code,
    reason = "functions found by name, and memory that libuv has until it says so"
)]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;
use std::rc::Rc;
use std::sync::{Arc, LazyLock};

use napi::bindgen_prelude::*;
use napi::{Env, sys};

use crate::process::weak_symbols::look_up;

/// A `uv_poll_t`, whose size only libuv knows.
type Handle = *mut c_void;
type Loop = *mut sys::uv_loop_s;
type OnEvents = unsafe extern "C" fn(Handle, status: c_int, events: c_int);
type OnClosed = unsafe extern "C" fn(Handle);

/// `UV_POLL` of `uv_handle_type`, and `UV_READABLE` of `uv_poll_event`.
const POLL: c_int = 8;
const READABLE: c_int = 1;
/// The alignment of any C object.
const ALIGN: usize = 16;

/// The functions of libuv that a watch needs.
struct Uv {
    handle_size: unsafe extern "C" fn(c_int) -> usize,
    handle_set_data: unsafe extern "C" fn(Handle, *mut c_void),
    handle_get_data: unsafe extern "C" fn(Handle) -> *mut c_void,
    poll_init: unsafe extern "C" fn(Loop, Handle, c_int) -> c_int,
    poll_start: unsafe extern "C" fn(Handle, c_int, OnEvents) -> c_int,
    unref: unsafe extern "C" fn(Handle),
    close: unsafe extern "C" fn(Handle, OnClosed),
}

/// Returns the functions of this process's libuv. `None`: one of them is missing.
fn uv() -> Option<&'static Uv> {
    static UV: LazyLock<Option<Uv>> = LazyLock::new(|| {
        // SAFETY: the functions have these signatures in every libuv 1 since 1.19.
        unsafe {
            Some(Uv {
                handle_size: look_up(c"uv_handle_size")?,
                handle_set_data: look_up(c"uv_handle_set_data")?,
                handle_get_data: look_up(c"uv_handle_get_data")?,
                poll_init: look_up(c"uv_poll_init")?,
                poll_start: look_up(c"uv_poll_start")?,
                unref: look_up(c"uv_unref")?,
                close: look_up(c"uv_close")?,
            })
        }
    });
    UV.as_ref()
}

/// A watched descriptor, until [`Self::stop`] or the end of its environment. A drop does not end
/// the watch.
pub struct Watch(Rc<State>);

/// The state that [`Watch`] and the libuv handle share, on the environment's thread.
struct State {
    uv: &'static Uv,
    env: sys::napi_env,
    handle: Handle,
    layout: Layout,
    /// The descriptor, open as long as libuv watches it. `None`: the watch has ended.
    fd: Cell<Option<Arc<OwnedFd>>>,
    /// Handles a readable descriptor, and returns whether to call JavaScript.
    on_readable: Box<dyn Fn() -> bool>,
    callback: sys::napi_ref,
    context: sys::napi_async_context,
    hook: Cell<sys::napi_async_cleanup_hook_handle>,
    /// JavaScript is being called.
    calling: Cell<bool>,
    stopped: Cell<bool>,
}

impl Watch {
    /// Has `callback` called with a status whenever `fd` is readable, again and again until it has
    /// been read. A status below 0 is an error of the descriptor. The watch keeps the process
    /// alive, and makes the descriptor non-blocking. `None`: the runtime has no usable libuv.
    pub fn new(
        env: Env,
        fd: OwnedFd,
        callback: &Function<'_, (i32,), Unknown<'static>>,
    ) -> Result<Option<Self>> {
        Self::with_reader(env, Arc::new(fd), Box::new(|| true), callback)
    }

    /// Does the same, but calls `on_readable` first, and `callback` only if that returns `true`.
    pub fn with_reader<A>(
        env: Env,
        fd: Arc<OwnedFd>,
        on_readable: Box<dyn Fn() -> bool>,
        callback: &Function<'_, A, Unknown<'static>>,
    ) -> Result<Option<Self>>
    where
        A: JsValuesTupleIntoVec,
    {
        let Some(uv) = uv() else { return Ok(None) };
        let mut event_loop = ptr::null_mut();
        // SAFETY: the environment is that of the call.
        if unsafe { sys::napi_get_uv_event_loop(env.raw(), &raw mut event_loop) }
            != sys::Status::napi_ok
        {
            return Ok(None);
        }
        // SAFETY: any number may be asked for.
        let size = unsafe { (uv.handle_size)(POLL) };
        let Ok(layout) = Layout::from_size_align(size, ALIGN) else { return Ok(None) };
        if layout.size() == 0 {
            return Ok(None);
        }
        let (callback, context) = references(env, callback)?;
        // SAFETY: the size is not 0.
        let handle: Handle = unsafe { alloc_zeroed(layout) }.cast();
        if handle.is_null() {
            handle_alloc_error(layout);
        }
        // SAFETY: the memory has the size that libuv asks for, and stays in place.
        let status = unsafe { (uv.poll_init)(event_loop, handle, fd.as_raw_fd()) };
        if status < 0 {
            // SAFETY: the handle is not part of the loop, and this function made both.
            unsafe {
                dealloc(handle.cast(), layout);
                sys::napi_delete_reference(env.raw(), callback);
                sys::napi_async_destroy(env.raw(), context);
            }
            tracing::warn!(status, "libuv does not watch the channel");
            return Ok(None);
        }
        let state = Rc::new(State {
            uv,
            env: env.raw(),
            handle,
            layout,
            fd: Cell::new(Some(fd)),
            on_readable,
            callback,
            context,
            hook: Cell::new(ptr::null_mut()),
            calling: Cell::new(false),
            stopped: Cell::new(false),
        });
        let data = Rc::into_raw(Rc::clone(&state)).cast_mut().cast();
        let mut hook = ptr::null_mut();
        // SAFETY: the handle has its own reference to the state until `closed`, and the hook is
        // gone by then.
        unsafe {
            (uv.handle_set_data)(handle, data);
            sys::napi_add_async_cleanup_hook(
                env.raw(),
                Some(environment_ends),
                data,
                &raw mut hook,
            );
        }
        state.hook.set(hook);
        state.start();
        Ok(Some(Self(state)))
    }

    /// Lets the process end while the descriptor is watched.
    pub fn unref(&self) {
        if !self.0.stopped.get() {
            // SAFETY: the handle is initialized, and lives at least until the watch is stopped.
            unsafe { (self.0.uv.unref)(self.0.handle) };
        }
    }

    /// Ends the calls, and no longer keeps the process alive. A second call does nothing.
    pub fn stop(&self) {
        self.0.stop();
    }
}

impl State {
    fn start(&self) {
        // SAFETY: the handle is initialized and not closing. The call cannot fail with these
        // arguments.
        unsafe { (self.uv.poll_start)(self.handle, READABLE, readable) };
    }

    fn stop(&self) {
        if self.stopped.replace(true) {
            return;
        }
        // SAFETY: the handle is initialized and not closing. libuv calls `closed` later, from its
        // loop.
        unsafe { (self.uv.close)(self.handle, closed) };
        // libuv does not use the descriptor any more, and a closed pool has none left.
        drop(self.fd.take());
        // A call in progress still uses the references, and deletes them afterwards.
        if !self.calling.get() {
            self.delete_references();
        }
    }

    /// Deletes the references to JavaScript, once, when no call is in progress and none will come.
    fn delete_references(&self) {
        // SAFETY: the environment has not ended, because it waits for the hook.
        unsafe {
            sys::napi_delete_reference(self.env, self.callback);
            sys::napi_async_destroy(self.env, self.context);
        }
    }

    fn call(&self, status: c_int) {
        let env = self.env;
        let (mut handles, mut scope) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: this is the environment's thread, in its event loop. No other scope is open, and
        // these are closed in the required order. The callback scope runs ticks and microtasks at
        // its end.
        unsafe {
            if sys::napi_open_handle_scope(env, &raw mut handles) != sys::Status::napi_ok {
                return;
            }
            if sys::napi_open_callback_scope(env, ptr::null_mut(), self.context, &raw mut scope)
                == sys::Status::napi_ok
            {
                self.call_in_scope(status);
                sys::napi_close_callback_scope(env, scope);
            }
            sys::napi_close_handle_scope(env, handles);
        }
    }

    /// Calls the callback. An error that JavaScript throws is an uncaught exception, as in any
    /// event.
    unsafe fn call_in_scope(&self, status: c_int) {
        let env = self.env;
        let (mut callback, mut this, mut argument) =
            (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        // SAFETY: the caller has opened a scope for these values; the reference is a strong one.
        unsafe {
            sys::napi_get_reference_value(env, self.callback, &raw mut callback);
            sys::napi_get_undefined(env, &raw mut this);
            sys::napi_create_int32(env, status, &raw mut argument);
            let called = sys::napi_call_function(
                env,
                this,
                callback,
                1,
                &raw const argument,
                ptr::null_mut(),
            );
            if called == sys::Status::napi_pending_exception {
                let mut thrown = ptr::null_mut();
                if sys::napi_get_and_clear_last_exception(env, &raw mut thrown)
                    == sys::Status::napi_ok
                {
                    sys::napi_fatal_exception(env, thrown);
                }
            }
        }
    }
}

/// Makes a strong reference to the callback, and the context of its calls for `node:async_hooks`.
fn references<A: JsValuesTupleIntoVec>(
    env: Env,
    callback: &Function<'_, A, Unknown<'static>>,
) -> Result<(sys::napi_ref, sys::napi_async_context)> {
    let name = "BULKHEADCHANNEL".into_unknown(&env)?;
    let (mut reference, mut context) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: the values belong to the call in progress.
    unsafe {
        check(sys::napi_create_reference(env.raw(), callback.raw(), 1, &raw mut reference))?;
        check(sys::napi_async_init(env.raw(), ptr::null_mut(), name.raw(), &raw mut context))
            .inspect_err(|_| {
                sys::napi_delete_reference(env.raw(), reference);
            })?;
    }
    Ok((reference, context))
}

fn check(status: sys::napi_status) -> Result<()> {
    match status {
        sys::Status::napi_ok => Ok(()),
        other => Err(Error::new(Status::from(other), "failed to watch the channel")),
    }
}

unsafe extern "C" fn readable(handle: Handle, status: c_int, _events: c_int) {
    let Some(uv) = uv() else { return };
    // SAFETY: the handle has a reference, which `closed` takes. This call takes one more, because
    // it may close the handle.
    let state = unsafe {
        let data = (uv.handle_get_data)(handle).cast_const().cast::<State>();
        Rc::increment_strong_count(data);
        Rc::from_raw(data)
    };
    if status >= 0 && !(state.on_readable)() {
        return;
    }
    state.calling.set(true);
    state.call(status);
    state.calling.set(false);
    if state.stopped.get() {
        state.delete_references();
    } else if status < 0 {
        // After an error libuv has stopped the watch.
        state.start();
    }
}

unsafe extern "C" fn closed(handle: Handle) {
    let Some(uv) = uv() else { return };
    // SAFETY: libuv calls this once, and does not use the handle after it.
    let state = unsafe { Rc::from_raw((uv.handle_get_data)(handle).cast_const().cast::<State>()) };
    // SAFETY: the memory was allocated with this layout. The hook is still registered, and waits
    // for this if it has run.
    unsafe {
        dealloc(handle.cast(), state.layout);
        let hook = state.hook.get();
        if !hook.is_null() {
            sys::napi_remove_async_cleanup_hook(hook);
        }
    }
}

unsafe extern "C" fn environment_ends(
    _hook: sys::napi_async_cleanup_hook_handle,
    data: *mut c_void,
) {
    // SAFETY: the handle has its reference until `closed`, which removes this hook.
    let state = unsafe { &*data.cast_const().cast::<State>() };
    state.stop();
}
