//! The part of Node-API that is used, all of it as old as its first version.
//!
//! The functions are those of the process that loads this library.

use std::{
    ffi::{CStr, c_char, c_void},
    ptr::{null, null_mut},
};

/// `napi_env`: an isolate's environment.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(crate) struct Env(*mut c_void);

/// `napi_value`: a JavaScript value, alive until the call returns. Null for `undefined` as a function's result.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(crate) struct Value(*mut c_void);

/// `napi_callback_info`.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(crate) struct Info(*mut c_void);

/// `napi_callback`.
pub(crate) type Callback = unsafe extern "C" fn(Env, Info) -> Value;

/// `napi_ok`.
const OK: i32 = 0;
/// `NAPI_AUTO_LENGTH`: texts end with a zero.
const TO_THE_ZERO: usize = usize::MAX;

/// JavaScript's null is not a null pointer; this one is `undefined`.
pub(crate) const UNDEFINED: Value = Value(null_mut());

unsafe extern "C" {
    fn napi_create_function(
        env: Env,
        name: *const c_char,
        length: usize,
        callback: Callback,
        data: *mut c_void,
        to: *mut Value,
    ) -> i32;
    fn napi_set_named_property(env: Env, object: Value, name: *const c_char, value: Value) -> i32;
    fn napi_get_cb_info(
        env: Env,
        info: Info,
        count: *mut usize,
        arguments: *mut Value,
        this: *mut Value,
        data: *mut *mut c_void,
    ) -> i32;
    fn napi_create_object(env: Env, to: *mut Value) -> i32;
    fn napi_create_double(env: Env, number: f64, to: *mut Value) -> i32;
    fn napi_get_null(env: Env, to: *mut Value) -> i32;
    fn napi_get_value_double(env: Env, value: Value, to: *mut f64) -> i32;
    fn napi_get_value_string_utf8(
        env: Env,
        value: Value,
        to: *mut c_char,
        room: usize,
        length: *mut usize,
    ) -> i32;
    fn napi_throw_error(env: Env, code: *const c_char, message: *const c_char) -> i32;
}

/// A call into Node-API that was refused; an exception of Node's may be pending.
#[derive(Debug)]
pub(crate) struct Refused;

impl Env {
    /// Gives `object` a function.
    pub(crate) fn set_function(self, object: Value, name: &CStr, callback: Callback) -> Result<(), Refused> {
        // SAFETY: Node-API's contract: the environment and the object are alive, the name is copied.
        let function = self.make(|to| unsafe {
            napi_create_function(self, name.as_ptr(), TO_THE_ZERO, callback, null_mut(), to)
        })?;
        self.set(object, name, function)
    }

    /// Sets a property.
    pub(crate) fn set(self, object: Value, name: &CStr, value: Value) -> Result<(), Refused> {
        // SAFETY: as above.
        ok(unsafe { napi_set_named_property(self, object, name.as_ptr(), value) })
    }

    /// The first `N` arguments of a call; those that were not given are `undefined`.
    pub(crate) fn arguments<const N: usize>(self, info: Info) -> Result<[Value; N], Refused> {
        let (mut arguments, mut count) = ([UNDEFINED; N], N);
        // SAFETY: as above, and room for as many arguments as is said.
        ok(unsafe {
            napi_get_cb_info(self, info, &raw mut count, arguments.as_mut_ptr(), null_mut(), null_mut())
        })?;
        Ok(arguments)
    }

    pub(crate) fn object(self) -> Result<Value, Refused> {
        // SAFETY: as above.
        self.make(|to| unsafe { napi_create_object(self, to) })
    }

    pub(crate) fn number(self, number: f64) -> Result<Value, Refused> {
        // SAFETY: as above.
        self.make(|to| unsafe { napi_create_double(self, number, to) })
    }

    pub(crate) fn null(self) -> Result<Value, Refused> {
        // SAFETY: as above.
        self.make(|to| unsafe { napi_get_null(self, to) })
    }

    /// The value as a number, if it is one.
    pub(crate) fn to_number(self, value: Value) -> Option<f64> {
        let mut number = 0.0;
        // SAFETY: as above; a value of another type is refused.
        (unsafe { napi_get_value_double(self, value, &raw mut number) } == OK).then_some(number)
    }

    /// The value as text, if it is a string.
    pub(crate) fn to_text(self, value: Value) -> Option<String> {
        let mut length = 0;
        // SAFETY: as above; without a buffer only the length is told.
        ok(unsafe { napi_get_value_string_utf8(self, value, null_mut(), 0, &raw mut length) }).ok()?;
        let mut bytes = vec![0u8; length + 1];
        // SAFETY: as above; room for the text and a zero.
        ok(unsafe {
            napi_get_value_string_utf8(self, value, bytes.as_mut_ptr().cast(), bytes.len(), &raw mut length)
        })
        .ok()?;
        bytes.truncate(length);
        String::from_utf8(bytes).ok()
    }

    /// Throws an Error.
    pub(crate) fn throw(self, message: &str) {
        let message: Vec<u8> = message.bytes().filter(|&byte| byte != 0).chain([0]).collect();
        // SAFETY: as above; the message ends with a zero and is copied. With an exception pending it is refused.
        unsafe { napi_throw_error(self, null(), message.as_ptr().cast()) };
    }

    fn make(self, make: impl FnOnce(*mut Value) -> i32) -> Result<Value, Refused> {
        let mut value = UNDEFINED;
        ok(make(&raw mut value))?;
        Ok(value)
    }
}

fn ok(status: i32) -> Result<(), Refused> {
    if status == OK { Ok(()) } else { Err(Refused) }
}
