//! Bars on a terminal.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};

use super::Bytes;

/// All bars on the screen.
pub(super) struct Bars(MultiProgress);

/// One of them.
pub(super) struct Bar(ProgressBar);

impl Bars {
    pub(super) fn new() -> Bars {
        Bars(MultiProgress::new())
    }

    /// Does something to the terminal with the bars out of the way.
    pub(super) fn above(&self, act: impl FnOnce()) {
        self.0.suspend(act);
    }

    pub(super) fn add(&self, verb: &str, id: &str, position: u64, size: Option<u64>) -> Bar {
        let bar = match size {
            Some(size) => ProgressBar::new(size),
            None => ProgressBar::no_length(),
        };
        let bar = self.0.add(bar.with_position(position)).with_prefix(format!("{verb} {id}"));
        bar.set_style(style(size.is_some()));
        // The speed counts what comes from now on, not what was there.
        bar.reset_eta();
        bar.enable_steady_tick(Duration::from_millis(120));
        Bar(bar)
    }
}

fn style(sized: bool) -> ProgressStyle {
    let template = if sized {
        "{prefix:30!} {bar:24.cyan/dim} {done:>9} of {whole:<9} {speed:>11} {wide_msg}"
    } else {
        "{prefix:30!} {spinner:.cyan}{done:>32} {speed:>24} {wide_msg}"
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style
        .progress_chars("━╸─")
        .with_key("done", |state: &ProgressState, to: &mut dyn std::fmt::Write| {
            let _ = write!(to, "{}", Bytes(state.pos()));
        })
        .with_key("whole", |state: &ProgressState, to: &mut dyn std::fmt::Write| {
            let _ = write!(to, "{}", Bytes(state.len().unwrap_or(0)));
        })
        .with_key("speed", |state: &ProgressState, to: &mut dyn std::fmt::Write| {
            let _ = write!(to, "{}/s", Bytes(state.per_sec() as u64));
        })
}

impl Bar {
    pub(super) fn position(&self, position: u64) {
        self.0.set_position(position);
    }

    pub(super) fn state(&self, state: &str) {
        self.0.set_message(state.to_owned());
    }

    pub(super) fn done(&self) {
        self.0.finish_and_clear();
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
