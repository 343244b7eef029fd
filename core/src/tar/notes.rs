//! What was odd about an entry or dropped from it, as values that a report can count.

use core::fmt;

macro_rules! notes {
    ($($(#[doc = $doc:literal])* $note:ident = $code:literal),* $(,)?) => {
        /// One oddity.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum Note { $($(#[doc = $doc])* $note),* }

        impl Note {
            /// Every note there is, in order.
            pub const ALL: &'static [Note] = &[$(Note::$note),*];

            /// Its stable `snake_case` name.
            pub fn code(self) -> &'static str {
                match self { $(Note::$note => $code),* }
            }
        }
    };
}

notes! {
    /// Names of owner and group were dropped (L15).
    OwnerNames = "owner_names",
    /// Times of access, of change of status or of creation were dropped (L15).
    OtherTimes = "other_times",
    /// Windows' records (`MSWINDOWS.*`) were dropped (L15).
    WindowsRecords = "windows_records",
    /// File flags (`SCHILY.fflags`) were dropped.
    FileFlags = "file_flags",
    /// `trusted.overlay.*` or `user.overlay.*` attributes were dropped (L16).
    OverlayXattrs = "overlay_xattrs",
    /// An ACL was dropped: of NFSv4's kind, or naming somebody by name alone.
    ForeignAcl = "foreign_acl",
    /// PAX records that we have no use for were dropped.
    OtherRecords = "other_records",
    /// Records of a global header were folded in.
    GlobalRecords = "global_records",
    /// A volume label was skipped (L18).
    VolumeLabel = "volume_label",
    /// The header of something without content states a size, which was ignored (L12).
    StraySize = "stray_size",
    /// The file is stored sparsely (L17).
    Sparse = "sparse",
    /// A regular file by its type, a directory by the slash that ends its name (L18).
    DirectoryByName = "directory_by_name",
    /// The device has number 0/0, as whiteouts have on an overlay (L15).
    ZeroDevice = "zero_device",
    /// The checksum is that of signed bytes.
    SignedChecksum = "signed_checksum",
    /// The end-of-archive marker is missing (L22).
    NoEndMarker = "no_end_marker",
    /// The end-of-archive marker is one block of zeros instead of two (L22).
    ShortEndMarker = "short_end_marker",
    /// It ends inside the padding of its last entry, whose content is whole (L22).
    CutPadding = "cut_padding",
    /// Something other than zeros follows the end-of-archive marker; it was ignored (L22).
    TrailingData = "trailing_data",
}

/// A set of notes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Notes(u32);

impl Notes {
    /// No notes.
    pub const NONE: Notes = Notes(0);

    /// Adds one.
    pub fn insert(&mut self, note: Note) {
        self.0 |= 1 << note as u8;
    }

    /// Whether it is there.
    pub fn contains(self, note: Note) -> bool {
        self.0 & (1 << note as u8) != 0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those that are there, in order.
    pub fn iter(self) -> impl Iterator<Item = Note> {
        Note::ALL.iter().copied().filter(move |note| self.contains(*note))
    }
}

impl fmt::Debug for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// How often each note was made over a whole tar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts([u64; Note::ALL.len()]);

impl Counts {
    /// How often.
    pub fn of(&self, note: Note) -> u64 {
        self.0.get(note as usize).copied().unwrap_or(0)
    }

    /// Counts one.
    pub fn count(&mut self, note: Note) {
        if let Some(count) = self.0.get_mut(note as usize) {
            *count = count.saturating_add(1);
        }
    }

    /// So many were counted.
    pub(crate) fn set(&mut self, note: Note, times: u64) {
        if let Some(count) = self.0.get_mut(note as usize) {
            *count = times;
        }
    }

    /// Counts a set.
    pub fn count_all(&mut self, notes: Notes) {
        if !notes.is_empty() {
            notes.iter().for_each(|note| self.count(note));
        }
    }

    /// Adds the counts of another tar.
    pub fn add(&mut self, other: &Counts) {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count = count.saturating_add(more);
        }
    }

    /// The notes that were made at all, with how often.
    pub fn iter(&self) -> impl Iterator<Item = (Note, u64)> + '_ {
        Note::ALL.iter().map(|note| (*note, self.of(*note))).filter(|(_, count)| *count > 0)
    }
}
