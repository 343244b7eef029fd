//! Work off the event loop, as promises.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use napi::bindgen_prelude::{Env, JsValue as _, PromiseRaw, ToNapiValue};
use napi::{Error, JsDeferred};
use wharfie_core::error::{ErrorKind, Result};

use crate::error::thrown;

/// Makes the value, on the event loop.
type Settle<T> = Box<dyn FnOnce(Env) -> napi::Result<T> + Send>;

/// A promise that any thread may settle, once.
pub(crate) struct Deferred<T: ToNapiValue + 'static>(JsDeferred<T, Settle<T>>);

impl<T: ToNapiValue + 'static> Deferred<T> {
    /// It and its promise.
    pub(crate) fn new(env: &Env) -> napi::Result<(Deferred<T>, PromiseRaw<'_, T>)> {
        let (deferred, promise) = env.create_deferred()?;
        Ok((Deferred(deferred), PromiseRaw::new(env.raw(), promise.raw())))
    }

    /// `make` runs on the event loop: it is to be short.
    pub(crate) fn resolve(self, make: impl FnOnce(Env) -> napi::Result<T> + Send + 'static) {
        self.0.resolve(Box::new(make));
    }

    pub(crate) fn reject(self, error: Error) {
        self.0.reject(error);
    }

    /// What work came to.
    pub(crate) fn settle<R: Send + 'static>(
        self,
        result: Result<R>,
        make: impl FnOnce(R) -> T + Send + 'static,
    ) {
        match result {
            Ok(value) => self.resolve(move |_| Ok(make(value))),
            Err(error) => self.reject(thrown(error)),
        }
    }
}

/// Does something, of which a panic is an error.
pub(crate) fn guarded<R>(work: impl FnOnce() -> Result<R>) -> Result<R> {
    let panicked = || ErrorKind::Internal { reason: "a thread has panicked".to_owned() }.into();
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(panicked()))
}

/// Starts a thread.
pub(crate) fn begin(work: impl FnOnce() + Send + 'static) -> Result<()> {
    match thread::Builder::new().name("wharfie-node".to_owned()).spawn(work) {
        Ok(_) => Ok(()),
        Err(error) => {
            Err(ErrorKind::LocalIo { operation: "starting a thread", reason: error.to_string() }.into())
        }
    }
}

/// Does something on a thread of its own. libuv's pool is everybody's, and has four threads: what may take minutes is not
/// for it.
pub(crate) fn apart<'e, R: Send + 'static, T: ToNapiValue + 'static>(
    env: &'e Env,
    work: impl FnOnce() -> Result<R> + Send + 'static,
    make: impl FnOnce(R) -> T + Send + 'static,
) -> napi::Result<PromiseRaw<'e, T>> {
    let (deferred, promise) = Deferred::new(env)?;
    begin(move || deferred.settle(guarded(work), make)).map_err(thrown)?;
    Ok(promise)
}
