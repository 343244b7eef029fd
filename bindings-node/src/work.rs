//! Something long that is under way: what stops it, and how far it has come.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use napi_derive::napi;
use serde_json::json;
use wharfie::drive::Cancel;
use wharfie::layers::Progress;

/// How far it has come; the event loop looks when it wants to know.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<News>);

#[derive(Debug, Default)]
struct News {
    /// Bytes read and bytes of the whole, by layer.
    read: BTreeMap<usize, (u64, u64)>,
    written: Option<(u64, u64)>,
    is_new: bool,
}

impl Told {
    fn lock(&self) -> MutexGuard<'_, News> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress for Told {
    fn decoded(&self, layer: usize, position: u64, size: u64) {
        let mut news = self.lock();
        news.read.insert(layer, (position, size));
        news.is_new = true;
    }

    fn written(&self, position: u64, size: u64) {
        let mut news = self.lock();
        news.written = Some((position, size));
        news.is_new = true;
    }
}

#[napi]
#[derive(Default)]
pub struct Work {
    pub(crate) cancel: Cancel,
    pub(crate) told: Arc<Told>,
}

#[napi]
impl Work {
    #[napi(constructor)]
    pub fn new() -> Work {
        Work::default()
    }

    /// It is seen at the next chunk.
    #[napi]
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// `{phase, done, total}` as JSON, if it has come on since this was asked last.
    #[napi]
    pub fn news(&self) -> Option<String> {
        let mut news = self.told.lock();
        if !std::mem::take(&mut news.is_new) {
            return None;
        }
        if let Some((done, total)) = news.written {
            return Some(json!({"phase": "write", "done": done, "total": total}).to_string());
        }
        let (done, total) =
            news.read.values().fold((0, 0), |(done, total), (at, size)| (done + at, total + size));
        Some(json!({"phase": "read", "done": done, "total": total}).to_string())
    }
}
