//! The environment that made a pool: how the pool wakes its JavaScript, and how both end.
//!
//! A threadsafe function is not safe at the end of its environment, for instance of a terminated
//! worker thread, because Node frees it there. Before Node 24.14, Node did not check for another
//! thread that was in a call, or about to make one (nodejs/node#55706; Node 20 and 22 never got the
//! fix).
//!
//! So every call is made under a lock, and the clean-up hook of the environment releases the
//! function under the same lock. Hooks run last in, first out, and the threadsafe function
//! registers its hook before the one here. When Node takes the function apart, no thread can reach
//! it any more. So nothing depends on how napi-rs or Node treat late calls. No call ever gets the
//! status "closing" either, after which napi-rs would release the function a second time.
//!
//! Node also unloads the library with the last environment that has loaded it, while the supervisor
//! thread runs on. The library stays in memory all the same. napi-rs pins it when it makes a
//! threadsafe function, which every pool does before it needs that thread (napi-rs/napi-rs#3443).
//! With glibc the build also marks the library as never to be unloaded, and musl never unloads
//! anything.
#![expect(
    unsafe_code,
    reason = "a clean-up hook that can be taken back, and references of the threadsafe function"
)]

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use napi::bindgen_prelude::*;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Env, sys};

use crate::bindings::uv::Watch;
use crate::process::ready_set::ReadySet;
use crate::supervisor::handle::SharedPool;

/// The callback that wakes JavaScript. It is weak: an idle pool does not keep the process alive,
/// until `ref_` makes it strong. It has no error argument, because a wake-up cannot fail. Its queue
/// is unbounded, because it is called only once until JavaScript re-arms it.
type Callback = ThreadsafeFunction<(), Unknown<'static>, (), Status, false, true, 0>;

/// Wakes JavaScript, from any thread, as long as its environment lives.
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
            // A failure has no remedy, and cannot be: the queue has no limit, and the function does
            // not close while the lock is held.
            let _ = callback.call((), ThreadsafeFunctionCallMode::NonBlocking);
        }
    }

    /// Makes the callback keep the process alive. Called on the environment's thread.
    pub fn ref_(&self, env: Env) {
        if let Some(callback) = &*self.lock() {
            // SAFETY: the function is not released while the lock is held, and this is its
            // environment's thread.
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

    /// Releases the callback. Returns when no call is in progress, and there are no later ones.
    fn close(&self) {
        drop(self.lock().take());
    }

    fn lock(&self) -> MutexGuard<'_, Option<Callback>> {
        // A panic under this lock would be one of napi-rs itself, and leaves the callback as it
        // was.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends a pool with its environment. The pool's JavaScript object holds it, on the environment's
/// thread.
pub struct EnvironmentGuard(Rc<EnvState>);

struct EnvState {
    shared: SharedPool,
    waker: Arc<Waker>,
    /// The watch of the channels that this thread leads.
    watch: RefCell<Option<Watch>>,
    /// The environment has the hook, and with it its own reference to this state.
    hooked: Cell<bool>,
}

impl EnvironmentGuard {
    /// Registers the hook that ends the pool with the environment, at the latest.
    pub fn new(env: Env, shared: SharedPool, waker: Arc<Waker>) -> Result<Self> {
        let state =
            Rc::new(EnvState { shared, waker, watch: RefCell::default(), hooked: Cell::new(true) });
        let data = Rc::into_raw(Rc::clone(&state));
        // Not by `Env::add_env_cleanup_hook`, which never frees a hook that is taken back, nor the
        // pool with it. SAFETY: `data` has the type that `environment_ends` expects, and lives
        // until the hook has run or is taken back.
        let status = unsafe {
            sys::napi_add_env_cleanup_hook(
                env.raw(),
                Some(environment_ends),
                data.cast_mut().cast(),
            )
        };
        if status != sys::Status::napi_ok {
            // SAFETY: this is the reference that the hook would have had.
            drop(unsafe { Rc::from_raw(data) });
            return Err(Error::new(Status::from(status), "failed to register a clean-up hook"));
        }
        Ok(Self(state))
    }

    pub fn waker(&self) -> &Waker {
        &self.0.waker
    }

    /// Lets this thread lead workers of the pool, if the system and the runtime can. `on_batch` is
    /// called when it has read rows.
    pub fn lead(&self, env: Env, on_batch: &Function<'_, (), Unknown<'static>>) -> Result<()> {
        let shared = Arc::clone(&self.0.shared);
        let set = match ReadySet::create() {
            Ok(Some(set)) => set,
            Ok(None) => return Ok(()),
            Err(error) => {
                tracing::debug!(%error, "the supervisor thread reads all workers");
                return Ok(());
            }
        };
        let on_readable = Box::new(move || shared.lead());
        let Some(watch) = Watch::with_reader(env, set.descriptor(), on_readable, on_batch)? else {
            return Ok(());
        };
        // Pending tasks keep the process alive, and no channel does.
        watch.unref();
        self.0.watch.replace(Some(watch));
        self.0.shared.allow_lead(set);
        Ok(())
    }

    /// Stops the wake-ups, and takes back the environment's reference to the pool. A second call
    /// does nothing.
    pub fn detach(&self, env: Env) -> Result<()> {
        self.0.end_lead();
        self.0.shared.outbox.close();
        self.0.waker.close();
        if !self.0.hooked.get() {
            return Ok(());
        }
        let data = Rc::as_ptr(&self.0);
        // SAFETY: these are the function and the data of the registration, and the hook has not
        // run.
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
        // SAFETY: this is the hook's reference, which the hook will not use any more.
        drop(unsafe { Rc::from_raw(data) });
        Ok(())
    }
}

impl EnvState {
    /// Leaves all reading to the supervisor thread.
    fn end_lead(&self) {
        if let Some(watch) = self.watch.take() {
            watch.stop();
            self.shared.end_lead();
        }
    }
}

unsafe extern "C" fn environment_ends(data: *mut c_void) {
    // SAFETY: this is the reference that `EnvironmentGuard::new` gave to the hook, which runs once.
    let state = unsafe { Rc::from_raw(data.cast_const().cast::<EnvState>()) };
    state.hooked.set(false);
    state.end_lead();
    state.shared.abandon();
    state.waker.close();
}
