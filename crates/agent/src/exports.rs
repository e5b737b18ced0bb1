//! What JavaScript calls.
//!
//! - `version`: 1.
//! - `fork(leftOut, timeoutSeconds)`: in the process `{pid, fd, seconds}`, in the child `null`.
//!   `leftOut` names the ranges that were left out of forks before, as `start-end,…` in hexadecimal;
//!   `fd` is the read end of the pipe whose write end is the child's descriptor 3;
//!   `seconds` is how long the thread stood still.
//! - `closed(pid)`: the read end was opened elsewhere and is closed here. It is after ten seconds anyway.
//! - `status(pid)`: `null` while the child runs, then once `{code, signal}`, one of them null.
//! - `exit(code)`: ends the child.
//!
//! All of them throw an Error when they can't.

use std::{panic::catch_unwind, time::Duration};

use crate::{
    child,
    children::{self, End},
    fork, maps,
    napi::{Callback, Env, Info, Refused, UNDEFINED, Value},
    sys,
};

const VERSION: f64 = 1.0;
/// A month: longer than any child, and within what the timers count to.
const LONGEST_TIMEOUT: f64 = 2_592_000.0;

/// Why a call has no result.
enum Failure {
    /// An Error with these words is to be thrown.
    Words(String),
    /// Node-API refused, which happens when JavaScript is being ended.
    Refused,
}

impl From<Refused> for Failure {
    fn from(_: Refused) -> Self {
        Failure::Refused
    }
}

impl From<String> for Failure {
    fn from(words: String) -> Self {
        Failure::Words(words)
    }
}

impl From<&str> for Failure {
    fn from(words: &str) -> Self {
        Failure::Words(words.to_owned())
    }
}

/// Node calls this for each isolate that loads the library.
#[unsafe(no_mangle)]
extern "C" fn napi_register_module_v1(env: Env, exports: Value) -> Value {
    guarded(env, || {
        let functions: [(_, Callback); 4] =
            [(c"fork", fork), (c"closed", closed), (c"status", status), (c"exit", exit)];
        for (name, callback) in functions {
            env.set_function(exports, name, callback)?;
        }
        env.set(exports, c"version", env.number(VERSION)?)?;
        Ok(exports)
    })
}

extern "C" fn fork(env: Env, info: Info) -> Value {
    guarded(env, || {
        let [left_out, timeout] = env.arguments(info)?;
        let left_out = env.to_text(left_out).ok_or("can't fork: the ranges are no string")?;
        let left_out = maps::ranges(&left_out).map_err(|error| format!("can't fork: {error}"))?;
        let timeout = env.to_number(timeout).filter(|&timeout| timeout > 0.0);
        let timeout = timeout.ok_or("can't fork: the timeout is no number of seconds")?.min(LONGEST_TIMEOUT);
        let Some(forked) = fork::fork(&left_out, Duration::from_secs_f64(timeout))? else {
            return Ok(env.null()?);
        };
        let result = env.object()?;
        env.set(result, c"pid", env.number(f64::from(forked.pid))?)?;
        env.set(result, c"fd", env.number(f64::from(forked.output))?)?;
        env.set(result, c"seconds", env.number(forked.time.as_secs_f64())?)?;
        Ok(result)
    })
}

extern "C" fn closed(env: Env, info: Info) -> Value {
    guarded(env, || {
        let pid = child_of(env, info)?;
        if !children::close_output(pid) {
            return Err(unknown(pid));
        }
        Ok(UNDEFINED)
    })
}

extern "C" fn status(env: Env, info: Info) -> Value {
    guarded(env, || {
        let pid = child_of(env, info)?;
        let Some(end) = children::take_end(pid).ok_or_else(|| unknown(pid))? else {
            return Ok(env.null()?);
        };
        let (code, signal) = match end {
            End::Code(code) => (env.number(f64::from(code))?, env.null()?),
            End::Signal(signal) => (env.null()?, env.number(f64::from(signal))?),
        };
        let result = env.object()?;
        env.set(result, c"code", code)?;
        env.set(result, c"signal", signal)?;
        Ok(result)
    })
}

extern "C" fn exit(env: Env, info: Info) -> Value {
    guarded(env, || {
        if !child::is_child() {
            return Err("can't exit: this is no forked child".into());
        }
        let [code] = env.arguments(info)?;
        sys::exit_group(env.to_number(code).unwrap_or(0.0) as i32)
    })
}

fn child_of(env: Env, info: Info) -> Result<i32, Failure> {
    let [pid] = env.arguments(info)?;
    Ok(env.to_number(pid).ok_or("the child's pid is no number")? as i32)
}

fn unknown(pid: i32) -> Failure {
    format!("there is no child {pid}, or its end was told already").into()
}

/// Runs what a call does. Nothing unwinds into Node.
fn guarded(env: Env, call: impl FnOnce() -> Result<Value, Failure> + std::panic::UnwindSafe) -> Value {
    match catch_unwind(call) {
        Ok(Ok(value)) => return value,
        Ok(Err(Failure::Words(words))) => env.throw(&words),
        Ok(Err(Failure::Refused)) => {}
        Err(_) => env.throw("twinheap's agent panicked"),
    }
    UNDEFINED
}
