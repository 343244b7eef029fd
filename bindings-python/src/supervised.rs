//! Long work on threads of its own, while the caller's looks after signals and tells of progress.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use pyo3::prelude::*;
use wharfie::drive;
use wharfie::layers::Progress;
use wharfie_core::error::{ErrorKind, Result};

use crate::error::raised;

/// How often the caller's thread looks.
pub(crate) const LOOK: Duration = Duration::from_millis(50);

/// What stops work, from any thread.
#[pyclass(frozen, module = "wharfie._wharfie")]
#[derive(Default)]
pub(crate) struct Cancel(pub(crate) drive::Cancel);

#[pymethods]
impl Cancel {
    #[new]
    fn new() -> Cancel {
        Cancel::default()
    }

    fn cancel(&self) {
        self.0.cancel();
    }

    #[getter]
    fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }
}

/// How far the work is: what is new of it since somebody looked.
#[derive(Debug, Default)]
pub(crate) struct Told {
    news: Mutex<News>,
}

#[derive(Debug, Default)]
struct News {
    decoded: BTreeMap<usize, (u64, u64)>,
    written: Option<(u64, u64)>,
}

impl Told {
    fn lock(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `progress(kind, layer, position, size)` for each.
    pub(crate) fn tell(&self, progress: &Bound<'_, PyAny>) -> PyResult<()> {
        let news = std::mem::take(&mut *self.lock());
        for (layer, (position, size)) in news.decoded {
            progress.call1(("decoded", Some(layer), position, size))?;
        }
        if let Some((position, size)) = news.written {
            progress.call1(("written", None::<usize>, position, size))?;
        }
        Ok(())
    }
}

impl Progress for Told {
    fn decoded(&self, layer: usize, position: u64, size: u64) {
        self.lock().decoded.insert(layer, (position, size));
    }

    fn written(&self, position: u64, size: u64) {
        self.lock().written = Some((position, size));
    }
}

/// Does something that takes long. Ctrl-C, if this is the thread that hears of it, and a progress function that raises
/// cancel it, and are raised when it has ended.
pub(crate) fn supervised<T: Send>(
    py: Python<'_>,
    cancel: &drive::Cancel,
    progress: Option<&Bound<'_, PyAny>>,
    work: impl FnOnce(&Arc<Told>) -> Result<T> + Send,
) -> PyResult<T> {
    let told = Arc::new(Told::default());
    let done = (Mutex::new(None), Condvar::new());
    let raised_meanwhile = thread::scope(|scope| {
        scope.spawn(|| {
            // A thread that ends without a word would be waited for without end.
            let result = std::panic::catch_unwind(AssertUnwindSafe(|| work(&told)));
            let result = result.unwrap_or_else(|_| {
                Err(ErrorKind::Internal { reason: "a thread has panicked".to_owned() }.into())
            });
            *done.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            done.1.notify_all();
        });
        let mut failed = None;
        loop {
            let is_done = py.detach(|| {
                let result = done.0.lock().unwrap_or_else(PoisonError::into_inner);
                let waited = done.1.wait_timeout_while(result, LOOK, |result| result.is_none());
                waited.unwrap_or_else(PoisonError::into_inner).0.is_some()
            });
            let looked =
                py.check_signals().and_then(|()| progress.map_or(Ok(()), |progress| told.tell(progress)));
            if let Err(error) = looked
                && failed.is_none()
            {
                cancel.cancel();
                failed = Some(error);
            }
            if is_done {
                return failed;
            }
        }
    });
    if let Some(error) = raised_meanwhile {
        return Err(error);
    }
    let result = done.0.into_inner().unwrap_or_else(PoisonError::into_inner);
    result
        .unwrap_or_else(|| Err(ErrorKind::Internal { reason: "a thread has panicked".to_owned() }.into()))
        .map_err(raised)
}
