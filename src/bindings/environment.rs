//! The environment that made a pool: how the pool wakes its JavaScript, and how both end.
//!
//! A threadsafe function is not as safe as its name says. Node frees it at the end of its
//! environment, of a terminated worker thread for one, and before Node 24.14 it did not look
//! whether another thread was just calling it or was still going to (nodejs/node#55706; Node 20 and
//! 22 never got the fix). So no other thread ever has it to itself: every call is made under a
//! lock, and under the same lock it is released by the clean-up hook of the environment. Hooks run
//! last in, first out, and the threadsafe function registers its own as it is made, before the one
//! here: by the time Node takes it apart, nobody can reach it, and nothing depends on what napi-rs
//! or Node do about calls that come too late. Nor does a call ever hear that it is closing, which
//! would give it up a second time.
//!
//! Node also unloads the library with the last environment that has loaded it, while the supervisor
//! thread runs on. It stays where it is all the same: napi-rs pins it as soon as it makes a
//! threadsafe function, which every pool does before it needs that thread (napi-rs/napi-rs#3443).
//! With glibc the build marks it as never to be unloaded besides, and musl never unloads anything.
#![expect(
    unsafe_code,
    reason = "a clean-up hook that can be taken back, and references of the threadsafe function"
)]

use std::cell::Cell;
use std::ffi::c_void;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use napi::bindgen_prelude::*;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, sys};

use crate::supervisor::handle::SharedPool;

/// Weak: an idle pool does not keep the process alive, until `ref_` makes the function strong. A
/// plain callee without an error argument: waking cannot fail. Unbounded: it is called once until
/// JavaScript has re-armed it.
type Callback = ThreadsafeFunction<(), Unknown<'static>, (), Status, false, true, 0>;

/// Wakes JavaScript, from any thread, for as long as there is some to wake.
pub struct Waker(Mutex<Option<Callback>>);

impl Waker {
    pub fn new(callback: Function<'_, (), Unknown<'static>>) -> Result<Self> {
        let callback = callback
            .build_threadsafe_function::<()>()
            .callee_handled::<false>()
            .weak::<true>()
            .max_queue_size::<0>()
            .build()?;
        Ok(Self(Mutex::new(Some(callback))))
    }

    /// Schedules a call of the callback.
    pub fn wake(&self) {
        if let Some(callback) = &*self.lock() {
            // Nothing to be done about a failure: the queue has no limit, and it is not closing
            // while it is in here.
            let _ = callback.call((), ThreadsafeFunctionCallMode::NonBlocking);
        }
    }

    /// Makes the callback keep the process alive. Called on the environment's thread.
    pub fn ref_(&self, env: Env) {
        if let Some(callback) = &*self.lock() {
            // SAFETY: it is not released while the lock is held, and this is its environment's
            // thread.
            unsafe { sys::napi_ref_threadsafe_function(env.raw(), callback.raw()) };
        }
    }

    /// Undoes [`Self::ref_`]. Called on the environment's thread.
    pub fn unref(&self, env: Env) {
        if let Some(callback) = &*self.lock() {
            // SAFETY: as above.
            unsafe { sys::napi_unref_threadsafe_function(env.raw(), callback.raw()) };
        }
    }

    /// Returns when no call is under way; there will be none.
    fn close(&self) {
        drop(self.lock().take());
    }

    fn lock(&self) -> MutexGuard<'_, Option<Callback>> {
        // A panic in here would be one of napi-rs itself, and leaves the callback as it was.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Held by the pool's JavaScript object, on the environment's thread.
pub struct EnvironmentGuard(Rc<EnvState>);

struct EnvState {
    shared: SharedPool,
    waker: Arc<Waker>,
    /// The environment has the hook, and with it a reference of its own to this.
    hooked: Cell<bool>,
}

impl EnvironmentGuard {
    /// Has the pool end with the environment, at the latest.
    pub fn new(env: Env, shared: SharedPool, waker: Arc<Waker>) -> Result<Self> {
        let state = Rc::new(EnvState { shared, waker, hooked: Cell::new(true) });
        let data = Rc::into_raw(Rc::clone(&state));
        // Not by `Env::add_env_cleanup_hook`: a hook that is taken back there is never freed, and
        // the pool with it. SAFETY: `data` is what `environment_ends` takes it for, and lives until
        // it has run or is taken back.
        let status = unsafe {
            sys::napi_add_env_cleanup_hook(
                env.raw(),
                Some(environment_ends),
                data.cast_mut().cast(),
            )
        };
        if status != sys::Status::napi_ok {
            // SAFETY: the reference that the hook would have had.
            drop(unsafe { Rc::from_raw(data) });
            return Err(Error::new(Status::from(status), "failed to register a clean-up hook"));
        }
        Ok(Self(state))
    }

    pub fn waker(&self) -> &Waker {
        &self.0.waker
    }

    /// Stops waking JavaScript, and takes the environment's reference to the pool back. A second
    /// call does nothing.
    pub fn detach(&self, env: Env) -> Result<()> {
        self.0.shared.outbox.close();
        self.0.waker.close();
        if !self.0.hooked.get() {
            return Ok(());
        }
        let data = Rc::as_ptr(&self.0);
        // SAFETY: the function and the data that it was registered with; it has not run.
        let status = unsafe {
            sys::napi_remove_env_cleanup_hook(
                env.raw(),
                Some(environment_ends),
                data.cast_mut().cast(),
            )
        };
        if status != sys::Status::napi_ok {
            return Err(Error::new(Status::from(status), "failed to take a clean-up hook back"));
        }
        self.0.hooked.set(false);
        // SAFETY: the hook's reference, which it will not use any more.
        drop(unsafe { Rc::from_raw(data) });
        Ok(())
    }
}

unsafe extern "C" fn environment_ends(data: *mut c_void) {
    // SAFETY: the reference that `EnvironmentGuard::new` gave to the hook, which runs once.
    let state = unsafe { Rc::from_raw(data.cast_const().cast::<EnvState>()) };
    state.hooked.set(false);
    state.shared.abandon();
    state.waker.close();
}
