// A Node addon in Rust, without frame pointers. The few functions of Node-API are declared here.
use std::ffi::{c_char, c_void};
use std::hint::black_box;

type Value = *mut c_void;
type Callback = extern "C" fn(Value, Value) -> Value;

unsafe extern "C" {
    fn napi_create_function(e: Value, n: *const c_char, l: usize, c: Callback, d: Value, r: *mut Value) -> i32;
    fn napi_get_undefined(e: Value, r: *mut Value) -> i32;
}

#[inline(never)]
fn keep_a_block(depth: u32) -> usize {
    if depth > 0 {
        return black_box(keep_a_block(depth - 1)) + 1;
    }
    let block = vec![7_u8; 4321];
    black_box(block.leak()).len()
}

extern "C" fn keep(env: Value, _info: Value) -> Value {
    black_box(keep_a_block(5));
    let mut undefined = std::ptr::null_mut();
    unsafe { napi_get_undefined(env, &mut undefined) };
    undefined
}

#[unsafe(no_mangle)]
pub extern "C" fn napi_register_module_v1(env: Value, exports: Value) -> Value {
    let mut function = exports;
    unsafe { napi_create_function(env, c"keep".as_ptr(), usize::MAX, keep, std::ptr::null_mut(), &mut function) };
    function
}
