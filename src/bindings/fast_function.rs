//! Functions that JavaScript calls once for every task.
//!
//! A method of a native class first finds its object: it checks a type tag, unwraps, and registers
//! a borrow. That costs more than most tasks do. A function made here carries a pointer to its own
//! state, and needs no look-up.
#![expect(unsafe_code, reason = "a bare Node-API callback with a data pointer")]

use std::ffi::c_void;
use std::ptr;

use napi::bindgen_prelude::*;
use napi::{Env, sys};

/// The state and the code of such a function.
pub trait FastFunction: 'static {
    /// The name that JavaScript sees.
    const NAME: &'static str;
    /// The number of arguments; missing ones are `undefined`.
    const ARGUMENTS: usize;

    /// Runs one call. It must not call JavaScript, so that it is not entered again while it runs.
    fn call(&self, arguments: &Arguments<'_>) -> Result<f64>;
}

/// The arguments of a call.
pub struct Arguments<'a> {
    env: sys::napi_env,
    values: &'a [sys::napi_value],
}

/// The largest number of arguments.
const MOST: usize = 4;

impl Arguments<'_> {
    /// Returns the argument at `index`, converted.
    pub fn value<T: FromNapiValue>(&self, index: usize) -> Result<T> {
        // SAFETY: the values are arguments of the call in progress, in its environment.
        unsafe { T::from_napi_value(self.env, self.values[index]) }
    }
}

/// Makes the function. Its state lives exactly as long as the function.
pub fn create<'env, F: FastFunction>(env: &'env Env, state: F) -> Result<Object<'env>> {
    const { assert!(F::ARGUMENTS <= MOST) };
    let data = Box::into_raw(Box::new(state)).cast::<c_void>();
    let mut function = ptr::null_mut();
    // SAFETY: the length is that of the name. `data` has the type that `trampoline` expects, and
    // only the finalizer frees it, when JavaScript can no longer call the function.
    let status = unsafe {
        let length = F::NAME.len() as isize;
        let status = sys::napi_create_function(
            env.raw(),
            F::NAME.as_ptr().cast(),
            length,
            Some(trampoline::<F>),
            data,
            &raw mut function,
        );
        match status {
            sys::Status::napi_ok => sys::napi_add_finalizer(
                env.raw(),
                function,
                data,
                Some(finalize::<F>),
                ptr::null_mut(),
                ptr::null_mut(),
            ),
            other => other,
        }
    };
    if status != sys::Status::napi_ok {
        // SAFETY: no finalizer was added, so this is the only owner. A function that was made is
        // not handed out.
        drop(unsafe { Box::from_raw(data.cast::<F>()) });
        return Err(Error::new(
            Status::from(status),
            format!("failed to make the function {}", F::NAME),
        ));
    }
    // SAFETY: the call above made the function.
    unsafe { Object::from_napi_value(env.raw(), function) }
}

unsafe extern "C" fn trampoline<F: FastFunction>(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    let mut values = [ptr::null_mut(); MOST];
    let mut count = F::ARGUMENTS;
    let mut data = ptr::null_mut();
    // SAFETY: there is room for the number of arguments that the call asks for. Node-API fills
    // missing ones with `undefined`.
    let status = unsafe {
        sys::napi_get_cb_info(
            env,
            info,
            &raw mut count,
            values.as_mut_ptr(),
            ptr::null_mut(),
            &raw mut data,
        )
    };
    let result = if status == sys::Status::napi_ok {
        // SAFETY: `create` gave this function its state, which lives as long as the function.
        let state = unsafe { &*data.cast::<F>() };
        let arguments = Arguments { env, values: &values[..F::ARGUMENTS] };
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| state.call(&arguments)))
            .unwrap_or_else(|_| {
                Err(Error::from_reason(format!("a bug in bulkhead: {} panicked", F::NAME)))
            })
    } else {
        Err(Error::new(Status::from(status), "failed to read the arguments"))
    };
    let mut value = ptr::null_mut();
    match result {
        // SAFETY: `env` is that of the call.
        Ok(number) => unsafe {
            sys::napi_create_double(env, number, &raw mut value);
        },
        // SAFETY: as above.
        Err(error) => unsafe { JsError::from(error).throw_into(env) },
    }
    value
}

unsafe extern "C" fn finalize<F: FastFunction>(
    _env: sys::napi_env,
    data: *mut c_void,
    _hint: *mut c_void,
) {
    // SAFETY: Node-API calls this once for the box that `create` made, after the function is gone.
    drop(unsafe { Box::from_raw(data.cast::<F>()) });
}
