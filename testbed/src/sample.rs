//! The sample image: small, and as difficult as real ones.
//!
//! Four layers for each of linux/amd64 and linux/arm64; the two platforms share the layers that hold no program.
//! What the layers do to each other is what tools get wrong: a hard link whose first name is deleted by a higher
//! layer, a file deleted and its folder filled again, an opaque folder, a folder replaced by a link, names too
//! long for a header, set-id bits, owners, a FIFO and an extended attribute.

use std::path::PathBuf;

use serde_json::json;

use crate::image::Layout;
use crate::layer::{Compression, Layer, Meta};
use crate::tools;

/// Where the sample is kept in the repository.
pub fn path() -> PathBuf {
    tools::workspace().join("testdata/sample/sample.oci.tar")
}

/// A name that does not fit a tar header.
const LONG: &str = "usr/share/doc/harbour/a-very-long-chapter-about-the-loading-and-unloading-of-ships-in-all-weathers-and-at-every-state-of-the-tide.txt";

/// The sample, as an oci-archive. The same bytes each time.
pub fn archive() -> Vec<u8> {
    layout().archive()
}

/// The sample's layout: the tag `sample` is an index of two platforms.
pub fn layout() -> Layout {
    let mut layout = Layout::new();
    let (update, cleanup, papers) = (update(), cleanup(), papers());
    let config = json!({
        "Cmd": ["/usr/bin/hello"],
        "Env": ["PATH=/usr/bin:/bin", "HARBOUR=wharf"],
        "Labels": {"org.opencontainers.image.title": "wharfie sample"},
        "User": "1000:1000",
        "WorkingDir": "/home/wharfie",
    });
    let history = [
        "base: files, hello and its hard link",
        "update: new words, set-id, long names",
        "cleanup: deletions",
        "papers: uncompressed, over a lower folder",
    ];
    let platforms = ["amd64", "arm64"].map(|architecture| {
        let base = base(architecture);
        let layers: [(&[u8], Compression); 4] = [
            (&base, Compression::Gzip),
            (&update, Compression::Zstd),
            (&cleanup, Compression::Gzip),
            (&papers, Compression::None),
        ];
        layout.image(("linux", architecture), &layers, &config, &history)
    });
    let index = layout.index(&platforms);
    layout.tag("sample", &index);
    layout
}

fn base(architecture: &str) -> Vec<u8> {
    let folder = Meta::mode(0o755);
    let file = Meta::mode(0o644);
    let mut layer = Layer::new().dir("./", &folder);
    for name in
        ["bin/", "etc/", "home/", "usr/", "usr/bin/", "usr/share/", "usr/share/doc/", "var/", "var/cache/"]
    {
        layer = layer.dir(name, &folder);
    }
    layer
        .dir("tmp/", &Meta::mode(0o1777))
        .dir("home/wharfie/", &Meta::mode(0o750).owner(1000, 1000))
        .file("etc/os-release", &file, "NAME=\"Wharfie sample\"\nID=wharfie-sample\nVERSION_ID=1\n")
        .file("etc/passwd", &file, "root:x:0:0:root:/:\nwharfie:x:1000:1000:wharfie:/home/wharfie:\n")
        .file("etc/group", &file, "root:x:0:\nwharfie:x:1000:\n")
        .file("etc/motd", &file, "the old words of the day\n")
        .file("bin/hello", &Meta::mode(0o755), program(architecture))
        .link("usr/bin/hello", "bin/hello")
        .dir("usr/share/doc/hello/", &folder)
        .file("usr/share/doc/hello/README", &file, "hello says which machine it was made for\n")
        .file("usr/share/doc/hello/TODO", &file, "deleted by a higher layer\n")
        .dir("usr/share/tides/", &folder)
        .file("usr/share/tides/tides.csv", &file, tides())
        .symlink("usr/share/tides/latest.csv", "tides.csv")
        .file("var/cache/stale-1", &file, "hidden by an opaque folder\n")
        .file("var/cache/stale-2", &file, "hidden by an opaque folder\n")
        .dir("opt/", &folder)
        .dir("opt/pier/", &folder)
        .file("opt/pier/bollard", &file, "replaced by a link to a folder\n")
        .finish()
}

fn update() -> Vec<u8> {
    let file = Meta::mode(0o644).later(60);
    Layer::new()
        .dir("etc/", &Meta::mode(0o755))
        .file("etc/motd", &file, "welcome aboard\n")
        .whiteout("opt/pier")
        .symlink("opt/pier", "../usr/share/tides")
        .dir("usr/share/doc/harbour/", &Meta::mode(0o755).later(60))
        .file(LONG, &file, "longer than a header\n")
        .file("usr/share/doc/harbour/Æøå-läger.txt", &file, "names are bytes\n")
        .dir("srv/", &Meta::mode(0o2775).owner(0, 50).later(60))
        .file("srv/ledger", &Meta::mode(0o4750).owner(1000, 50).later(60), "set-uid\n")
        .fifo("srv/horn", &Meta::mode(0o620).later(60))
        .file("srv/crate", &file.clone().xattr("user.cargo", b"\x00bananas\xff"), "an extended attribute\n")
        .link("srv/crate-again", "srv/crate")
        .finish()
}

fn cleanup() -> Vec<u8> {
    let file = Meta::mode(0o644).later(120);
    Layer::new()
        // The first name of the program goes; its other name, usr/bin/hello, keeps the data.
        .whiteout("bin/hello")
        .symlink("bin/sh", "/usr/bin/hello")
        .dir("var/cache/", &Meta::mode(0o755).later(120))
        .opaque("var/cache")
        .file("var/cache/fresh", &file, "the only one left\n")
        .whiteout("usr/share/doc/hello/TODO")
        .whiteout("usr/share/doc/hello/never-was-there")
        .finish()
}

fn papers() -> Vec<u8> {
    let file = Meta::mode(0o644).later(180);
    // home/wharfie is implied: its owner and mode are those of the layer that made it.
    Layer::new()
        .file("home/wharfie/papers", &file.clone().owner(1000, 1000), "all in order\n")
        .file("usr/share/tides/harbour", &file, "the wharf\n")
        .finish()
}

/// High and low water at a harbour that does not exist, for a year: something with a body of several blocks.
fn tides() -> String {
    let mut text = String::from("hour,metres\n");
    for hour in 0_u64..8760 {
        // Half a sine of the semi-diurnal tide (12.42 h), by a parabola, with its spring and neap fortnight.
        let phase = hour * 100 % 621;
        let arc = phase * (621 - phase) / 97;
        let spring = 600 + (hour % 354) * (354 - hour % 354) / 80;
        let millimetres = if (hour * 100 / 621).is_multiple_of(2) {
            4000 + arc * spring / 1000
        } else {
            4000 - arc * spring / 1000
        };
        text.push_str(&format!("{hour},{}.{:03}\n", millimetres / 1000, millimetres % 1000));
    }
    text
}

/// A static program of Linux without a libc: writes one line and ends.
pub(crate) fn program(architecture: &str) -> Vec<u8> {
    let message = format!("hello from the wharfie sample, made for linux/{architecture}\n");
    let length = message.len() as u32;
    // The code starts right after the two headers, the message right after the code.
    let (machine, code): (u16, Vec<u8>) = if architecture == "amd64" {
        let mut code = vec![
            0xb8, 1, 0, 0, 0, // mov eax, 1 (write)
            0xbf, 1, 0, 0, 0, // mov edi, 1
            0x48, 0x8d, 0x35, 0x10, 0, 0, 0,    // lea rsi, [rip + 16]
            0xba, // mov edx, length
        ];
        code.extend(length.to_le_bytes());
        code.extend([
            0x0f, 0x05, // syscall
            0xb8, 60, 0, 0, 0, // mov eax, 60 (exit)
            0x31, 0xff, // xor edi, edi
            0x0f, 0x05, // syscall
        ]);
        (62, code)
    } else {
        let words = [
            0xd280_0020_u32,             // mov x0, #1
            0x1000_00e1,                 // adr x1, #28
            0xd280_0002 | (length << 5), // mov x2, #length
            0xd280_0808,                 // mov x8, #64 (write)
            0xd400_0001,                 // svc #0
            0xd280_0000,                 // mov x0, #0
            0xd280_0ba8,                 // mov x8, #93 (exit)
            0xd400_0001,                 // svc #0
        ];
        (183, words.iter().flat_map(|word| word.to_le_bytes()).collect())
    };
    let base: u64 = 0x40_0000;
    let size = 64 + 56 + code.len() as u64 + u64::from(length);
    let mut out = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    out.extend(2_u16.to_le_bytes());
    out.extend(machine.to_le_bytes());
    out.extend(1_u32.to_le_bytes());
    out.extend((base + 120).to_le_bytes());
    out.extend(64_u64.to_le_bytes());
    out.extend(0_u64.to_le_bytes());
    out.extend(0_u32.to_le_bytes());
    for field in [64_u16, 56, 1, 0, 0, 0] {
        out.extend(field.to_le_bytes());
    }
    out.extend(1_u32.to_le_bytes());
    out.extend(5_u32.to_le_bytes());
    for field in [0, base, base, size, size, 0x1_0000] {
        out.extend(u64::to_le_bytes(field));
    }
    out.extend(code);
    out.extend(message.as_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_same_each_time() {
        assert!(archive() == archive());
    }

    #[test]
    fn is_what_the_repository_holds() {
        let kept = std::fs::read(path()).expect("testdata/sample/sample.oci.tar: run `cargo xtask sample`");
        assert!(kept == archive(), "testdata/sample is not what `cargo xtask sample` makes");
    }

    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    #[test]
    fn its_program_runs() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("hello");
        std::fs::write(&file, program("amd64")).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
        let output = std::process::Command::new(file).output().unwrap();
        assert!(output.status.success());
        assert_eq!(output.stdout, b"hello from the wharfie sample, made for linux/amd64\n");
    }
}
