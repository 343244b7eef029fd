//! Layers that try to get out (L27), and somebody who helps them.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use testbed::layer::{Layer, Meta};
use testbed::tools;
use testbed::tree::{self, Tree};

use super::Scene;

/// A scene with something outside that must not change.
fn scene() -> (Scene, Tree) {
    let scene = Scene::new();
    let outside = scene.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "not to be touched").unwrap();
    fs::create_dir(outside.join("dir")).unwrap();
    let before = tree::read_folder(&outside).unwrap();
    (scene, before)
}

fn untouched(scene: &Scene, before: &Tree) {
    let after = tree::read_folder(&scene.dir.path().join("outside")).unwrap();
    tree::assert_same(("before", before), ("after", &after));
}

#[test]
fn no_layer_gets_out() {
    if !tools::root("hostile layers on disk") {
        return;
    }
    let (scene, before) = scene();
    let outside = scene.dir.path().join("outside");
    let out = outside.to_str().unwrap();
    let meta = Meta::mode(0o777).owner(1, 1).later(99);
    let up = format!("{}{out}", "../".repeat(40));
    let stacks: Vec<Vec<Vec<u8>>> = vec![
        // A symlink out, and what follows it, in one layer and in two.
        vec![Layer::new().symlink("d", out).file("d/file", &meta, "out").dir("d/dir", &meta).finish()],
        vec![
            Layer::new().symlink("d", out).finish(),
            Layer::new().file("d/file", &meta, "out").dir("d/dir", &meta).finish(),
        ],
        vec![Layer::new().symlink("d", &up).dir("d", &meta).finish()],
        vec![
            Layer::new().dir("d", &meta).file("d/file", &meta, "in").finish(),
            Layer::new().symlink("d", out).finish(),
            Layer::new().whiteout("d/file").opaque("d").dir("d", &meta).finish(),
        ],
        // Names and links that climb.
        vec![Layer::new().file(&format!("..{out}/file"), &meta, "out").finish()],
        vec![Layer::new().file(&format!("{out}/file"), &meta, "in").finish()],
        vec![Layer::new().link("l", &format!("../../..{out}/file")).finish()],
        vec![Layer::new().link("l", &format!("{out}/file")).finish()],
        vec![
            Layer::new().symlink("s", &format!("{out}/file")).link("l", "s").file("s", &meta, "own").finish(),
        ],
        // A FIFO where a file comes: nobody waits for it.
        vec![Layer::new().fifo("f", &meta).finish(), Layer::new().file("f", &meta, "file").finish()],
    ];
    for (number, tars) in stacks.iter().enumerate() {
        match scene.unpack(tars, |_| {}) {
            Ok(_) => {
                tools::run(tools::command("rm").arg("-rf").arg(scene.root()));
            }
            Err(error) => {
                let codes = ["invalid_path", "invalid_hard_link"];
                assert!(codes.contains(&error.code()), "{number}: {error}");
            }
        }
        untouched(&scene, &before);
        assert!(scene.beside().is_empty(), "{number}");
    }
}

#[test]
fn nobody_who_swaps_directories_for_links_gets_a_byte_out() {
    if !tools::root("a race on disk") {
        return;
    }
    let (scene, before) = scene();
    let outside = scene.dir.path().join("outside");
    let mut layer = Layer::new();
    let meta = Meta::mode(0o644).owner(1, 1);
    for directory in 0..40 {
        for file in 0..20 {
            layer = layer.file(&format!("dir/d{directory}/f{file}"), &meta, "inside");
        }
        layer = layer.file(&format!("dir/d{directory}/file"), &meta, "inside");
    }
    let tars = vec![layer.finish()];
    let (stop, swaps) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let Ok(entries) = fs::read_dir(scene.out()) else { continue };
                for entry in entries.flatten().filter(|entry| entry.file_name() != "root") {
                    for directory in 0..40 {
                        let (it, away) = (
                            entry.path().join(format!("dir/d{directory}")),
                            entry.path().join(format!("dir/away{directory}")),
                        );
                        if fs::rename(&it, &away).is_ok() {
                            let _ = symlink(&outside, &it);
                            swaps.fetch_add(1, Ordering::Relaxed);
                            thread::yield_now();
                            let _ = fs::remove_file(&it);
                            let _ = fs::rename(&away, &it);
                        }
                    }
                }
            }
        });
        for _ in 0..25 {
            // It fails, or it does not.
            let _ = scene.unpack(&tars, |options| options.jobs = 2.try_into().ok());
            untouched(&scene, &before);
            let _ = fs::remove_dir_all(scene.root());
        }
        stop.store(true, Ordering::Relaxed);
    });
    untouched(&scene, &before);
    println!("{} swaps", swaps.load(Ordering::Relaxed));
}

#[test]
fn nobody_who_swaps_what_is_built_or_its_folder_gets_a_byte_out() {
    if !tools::root("a race beside the target") {
        return;
    }
    let (scene, before) = scene();
    let outside = scene.dir.path().join("outside");
    let mut layer = Layer::new().dir("dir", &Meta::mode(0o755)).file("file", &Meta::mode(0o600), "inside");
    for number in 0..600 {
        layer = layer.file(&format!("dir/d{}/f{number}", number % 9), &Meta::mode(0o600).owner(1, 1), "in");
    }
    let tars = vec![layer.finish()];
    let expected = super::flattened(&tars, &super::Options::default()).unwrap();
    let (mut whole, mut swaps) = (0, 0);
    for round in 0..40 {
        let stop = AtomicBool::new(false);
        let (of_folder, away) = (round % 2 == 1, scene.dir.path().join("away"));
        let result = thread::scope(|scope| {
            let swapper = scope.spawn(|| {
                let mut swaps = 0;
                while !stop.load(Ordering::Relaxed) {
                    // Not before it has begun: whose path it is until then, is the user's to know.
                    let Ok(entries) = fs::read_dir(scene.out()) else { continue };
                    let built = entries.flatten().find(|entry| entry.file_name() != "root");
                    let Some(built) = built else { continue };
                    let it = if of_folder { scene.out() } else { built.path() };
                    if fs::rename(&it, &away).is_ok() {
                        let _ = symlink(&outside, &it);
                        for _ in 0..round {
                            thread::yield_now();
                        }
                        // Had it got the name of the target, that would be a link.
                        let _ = fs::remove_file(&it);
                        let _ = fs::rename(&away, &it);
                        swaps += 1;
                    }
                }
                swaps
            });
            let result = scene.unpack(&tars, |_| {});
            stop.store(true, Ordering::Relaxed);
            swaps += swapper.join().unwrap();
            result
        });
        untouched(&scene, &before);
        match result {
            Ok(_) => {
                assert!(!fs::symlink_metadata(scene.root()).unwrap().is_symlink());
                let found = super::on_disk(&scene.root(), &expected);
                tree::assert_same(("disk", &found), ("tar", &expected));
                whole += 1;
            }
            Err(error) => {
                let codes = ["local_io", "not_found"];
                assert!(!of_folder && codes.contains(&error.code()), "{of_folder}: {error}");
            }
        }
        tools::run(tools::command("rm").arg("-rf").arg(scene.out()).arg(&away));
        fs::create_dir(scene.out()).unwrap();
    }
    println!("{swaps} swaps, {whole} whole");
    assert!(whole >= 20, "what has its folder open does not care");
}
