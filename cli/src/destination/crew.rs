//! Blobs copied side by side, and verified on the way: what is hashed is what is written.
//!
//! Not by hard links: who changes the one file later changes the other. And the kernel's own copying would leave open
//! whether what it read is what was hashed.

use std::fs::File;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use wharfie_core::digest::Verifier;
use wharfie_core::error::{Error, ErrorKind, Result};
use wharfie_core::image::Descriptor;

use crate::at;
use crate::blob_file::BlobFile;
use crate::codec::NativeHashes;
use crate::drive::Cancel;
use crate::fault::io_error;

/// Bytes of a piece on its way.
const PIECE: usize = 256 << 10;
/// Copies that may wait for who does them.
const WAITING: usize = 16;

/// Where a copy goes.
pub(super) enum To {
    /// A file, made new.
    File(PathBuf),
    /// A range of one, which begins here; the path is for messages.
    Range(Arc<File>, u64, PathBuf),
}

struct Copy {
    descriptor: Descriptor,
    from: BlobFile,
    to: To,
}

/// Threads that copy.
pub(super) struct Crew {
    queue: Option<SyncSender<Copy>>,
    threads: Vec<JoinHandle<()>>,
    shared: Arc<Shared>,
}

struct Shared {
    waiting: Mutex<Receiver<Copy>>,
    failure: Mutex<Option<Error>>,
    /// Stops this crew alone.
    stop: Cancel,
    cancel: Cancel,
}

impl Crew {
    /// So many at once.
    ///
    /// # Errors
    /// `local_io` if the system gives no thread.
    pub(super) fn new(jobs: usize, cancel: &Cancel) -> Result<Crew> {
        let (queue, waiting) = sync_channel(WAITING);
        let shared = Arc::new(Shared {
            waiting: Mutex::new(waiting),
            failure: Mutex::new(None),
            stop: Cancel::new(),
            cancel: cancel.clone(),
        });
        // Dropped, it ends those that have begun.
        let mut crew = Crew { queue: Some(queue), threads: Vec::new(), shared };
        for _ in 0..jobs.clamp(1, 16) {
            let shared = Arc::clone(&crew.shared);
            let thread = std::thread::Builder::new().name("copying".to_owned()).spawn(move || shared.work());
            crew.threads.push(thread.map_err(|error| io_error("starting a thread", None, &error))?);
        }
        Ok(crew)
    }

    /// Hands over a copy. Answers what an earlier one failed of.
    pub(super) fn copy(&self, descriptor: &Descriptor, from: &BlobFile, to: To) -> Result<()> {
        self.failure()?;
        if from.len != descriptor.size {
            let (expected, actual) = (descriptor.size, from.len);
            let error = Error::from(ErrorKind::SizeMismatch { expected, actual });
            return Err(error.in_blob(descriptor.digest).at_path(from.path.display().to_string()));
        }
        let copy = Copy { descriptor: descriptor.clone(), from: from.clone(), to };
        let reason = "no thread copies any more".to_owned();
        let queue = self.queue.as_ref().ok_or_else(|| ErrorKind::Internal { reason: reason.clone() })?;
        queue.send(copy).map_err(|_| ErrorKind::Internal { reason }.into())
    }

    /// Waits until all is copied.
    pub(super) fn finish(mut self) -> Result<()> {
        self.join();
        self.failure()
    }

    fn failure(&self) -> Result<()> {
        self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner).clone().map_or(Ok(()), Err)
    }

    fn join(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                self.shared.fail(ErrorKind::Internal { reason: "a thread has panicked".to_owned() }.into());
            }
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.shared.stop.cancel();
        self.join();
    }
}

impl Shared {
    fn work(&self) {
        let mut buffer = vec![0; PIECE];
        loop {
            let next = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(copy) = next else { return };
            // After a failure what waits is taken, so that nobody waits for room, and left.
            if self.failure.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
                continue;
            }
            if let Err(error) = self.run(&copy, &mut buffer) {
                self.fail(error.in_blob(copy.descriptor.digest));
            }
        }
    }

    fn fail(&self, error: Error) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    fn run(&self, copy: &Copy, buffer: &mut [u8]) -> Result<()> {
        let Copy { descriptor, from, to } = copy;
        let reading = |error: std::io::Error| io_error("reading a blob", Some(&from.path), &error);
        let source = from.open().map_err(reading)?;
        let (target, start, path) = match to {
            To::Range(file, start, path) => (Arc::clone(file), *start, path),
            To::File(path) => {
                let file =
                    File::create_new(path).map_err(|error| io_error("writing a blob", Some(path), &error))?;
                (Arc::new(file), 0, path)
            }
        };
        let mut verifier = Verifier::new(&NativeHashes, descriptor.digest, Some(descriptor.size));
        let mut position = 0;
        while position < from.len {
            if self.stop.is_cancelled() || self.cancel.is_cancelled() {
                return Err(ErrorKind::Cancelled {}.into());
            }
            let wanted = buffer.len().min(usize::try_from(from.len - position).unwrap_or(buffer.len()));
            let n = match at::read(&source, &mut buffer[..wanted], from.offset + position) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                read => read.map_err(reading)?,
            };
            if n == 0 {
                break;
            }
            verifier.update(&buffer[..n])?;
            at::write_all(&target, &buffer[..n], start + position)
                .map_err(|error| io_error("writing a blob", Some(path), &error))?;
            position += n as u64;
        }
        verifier.finish().map(drop).map_err(|error| error.at_path(from.path.display().to_string()))
    }
}
