//! Image configs: what is read, and what is let pass.

use core::time::Duration;
use std::collections::BTreeMap;

use super::*;

fn read(raw: &str) -> Config {
    Config::parse(raw.as_bytes(), &limits()).unwrap_or_else(|e| panic!("{raw}: {e}"))
}

fn refused(raw: &str) -> String {
    let error = Config::parse(raw.as_bytes(), &limits()).unwrap_err();
    format!("{}: {error}", error.code())
}

#[test]
fn every_field_that_inspecting_needs() {
    let diff_id = Digest::sha256(b"layer");
    let raw = format!(
        r#"{{
            "created": "2024-01-02T03:04:05.678Z", "author": "me <me@example.com>",
            "architecture": "arm", "variant": "v6", "os": "linux", "os.version": "5", "os.features": ["a"],
            "config": {{
                "User": "1000:1000", "ExposedPorts": {{"80/tcp": {{}}, "53/udp": null}},
                "Env": ["A=1", "B"], "Entrypoint": ["/init"], "Cmd": ["-x", "y"],
                "Volumes": {{"/data": {{}}}}, "WorkingDir": "/srv", "Labels": {{"k": "v", "n": null}},
                "StopSignal": "SIGQUIT", "StopTimeout": 30, "ArgsEscaped": true, "OnBuild": ["RUN x"],
                "Shell": ["/bin/bash", "-c"], "Domainname": "ignored", "Memory": 5,
                "Healthcheck": {{"Test": ["CMD-SHELL", "true"], "Interval": 1000000000, "Timeout": 2, "Retries": 3,
                                 "StartPeriod": 5000000000, "StartInterval": 7}}
            }},
            "rootfs": {{"type": "layers", "diff_ids": ["{diff_id}"]}},
            "history": [{{"created": "x", "created_by": "RUN y", "author": "z", "comment": "buildkit"}},
                        {{"empty_layer": true}}],
            "moby.buildkit.buildinfo.v1": "eyJ9", "docker_version": "20.10"
        }}"#
    );
    let config = read(&raw);
    assert_eq!(config.raw, raw.as_bytes());
    assert_eq!(config.created.as_deref(), Some("2024-01-02T03:04:05.678Z"));
    assert_eq!(config.author.as_deref(), Some("me <me@example.com>"));
    assert_eq!(config.platform.unwrap().to_string(), "linux(5+a)/arm/v6");
    assert_eq!(config.diff_ids, [diff_id]);
    let execution = config.execution;
    assert_eq!(execution.user, "1000:1000");
    assert_eq!(execution.exposed_ports.iter().collect::<Vec<_>>(), ["53/udp", "80/tcp"]);
    assert_eq!(execution.env, ["A=1", "B"]);
    assert_eq!(execution.entrypoint, ["/init"]);
    assert_eq!(execution.cmd, ["-x", "y"]);
    assert_eq!(execution.volumes.iter().collect::<Vec<_>>(), ["/data"]);
    assert_eq!(execution.working_dir, "/srv");
    assert_eq!(execution.labels, BTreeMap::from([("k".into(), "v".into()), ("n".into(), String::new())]));
    assert_eq!(execution.stop_signal.as_deref(), Some("SIGQUIT"));
    assert_eq!(execution.stop_timeout, Some(Duration::from_secs(30)));
    assert!(execution.args_escaped);
    assert_eq!(execution.on_build, ["RUN x"]);
    assert_eq!(execution.shell, ["/bin/bash", "-c"]);
    let health = execution.healthcheck.unwrap();
    assert_eq!(health.test, ["CMD-SHELL", "true"]);
    assert_eq!(health.interval, Duration::from_secs(1));
    assert_eq!(health.timeout, Duration::from_nanos(2));
    assert_eq!(health.start_period, Duration::from_secs(5));
    assert_eq!(health.start_interval, Duration::from_nanos(7));
    assert_eq!(health.retries, 3);
    assert_eq!(config.history.len(), 2);
    assert_eq!(config.history[0].created_by.as_deref(), Some("RUN y"));
    assert_eq!(config.history[0].comment.as_deref(), Some("buildkit"));
    assert!(!config.history[0].empty_layer);
    assert!(config.history[1].empty_layer);
}

#[test]
fn null_is_absent_everywhere() {
    let empty = read("{}");
    let fields = [
        "created",
        "author",
        "architecture",
        "os",
        "os.version",
        "os.features",
        "variant",
        "config",
        "rootfs",
        "history",
    ];
    for field in fields {
        let config = read(&format!(r#"{{"{field}": null}}"#));
        assert_eq!(
            Config { raw: Vec::new(), ..config },
            Config { raw: Vec::new(), ..empty.clone() },
            "{field}"
        );
    }
    let fields = [
        "User",
        "ExposedPorts",
        "Env",
        "Entrypoint",
        "Cmd",
        "Volumes",
        "WorkingDir",
        "Labels",
        "StopSignal",
        "StopTimeout",
        "ArgsEscaped",
        "Healthcheck",
        "OnBuild",
        "Shell",
    ];
    for field in fields {
        let config = read(&format!(r#"{{"config": {{"{field}": null}}}}"#));
        assert_eq!(config.execution, Execution::default(), "{field}");
    }
    for field in ["Test", "Interval", "Timeout", "StartPeriod", "StartInterval", "Retries"] {
        let config = read(&format!(r#"{{"config": {{"Healthcheck": {{"{field}": null}}}}}}"#));
        assert_eq!(config.execution.healthcheck, Some(Healthcheck::default()), "{field}");
    }
    assert_eq!(read(r#"{"rootfs": {"diff_ids": null}}"#).diff_ids, []);
    assert_eq!(
        read(r#"{"history": [{"created": null, "empty_layer": null}]}"#).history,
        [History::default()]
    );
    assert_eq!(read(r#"{"history": [null]}"#).history, [History::default()]);
    assert_eq!(read(r#"{"config": {"Env": [null, "A=1"]}}"#).execution.env, ["", "A=1"]);
}

#[test]
fn old_ways_to_write_commands_and_sets() {
    let execution = read(
        r#"{"config": {"Cmd": "sh -c x", "Entrypoint": [], "Volumes": ["/b", "/a"], "ExposedPorts": []}}"#,
    )
    .execution;
    assert_eq!(execution.cmd, ["sh -c x"]);
    assert_eq!(execution.entrypoint, Vec::<String>::new());
    assert_eq!(execution.volumes.iter().collect::<Vec<_>>(), ["/a", "/b"]);
    assert!(execution.exposed_ports.is_empty());
    assert_eq!(read(r#"{"config": {"StopTimeout": -1}}"#).execution.stop_timeout, None);
}

#[test]
fn what_is_of_the_wrong_type_is_named() {
    for (raw, expected) in [
        ("[]", "invalid_document: invalid config: the document must be an object, is a list"),
        (r#"{"os": 1}"#, "invalid_document: invalid config: `os` must be a string, is the number 1"),
        (
            r#"{"config": {"Env": "A"}}"#,
            "invalid_document: invalid config: `config.Env` must be a list, is a string",
        ),
        (
            r#"{"config": {"Env": ["A", 1]}}"#,
            "invalid_document: invalid config: `config.Env[1]` must be a string, is the number 1",
        ),
        (
            r#"{"config": {"ArgsEscaped": "yes"}}"#,
            "invalid_document: invalid config: `config.ArgsEscaped` must be true or false, is a string",
        ),
        (
            r#"{"history": [5]}"#,
            "invalid_document: invalid config: `history[0]` must be an object, is the number 5",
        ),
        (
            r#"{"rootfs": {"diff_ids": ["sha256:0"]}}"#,
            "invalid_digest: invalid digest `sha256:0`: sha256 takes 64 hexadecimal digits, here are 1 (`rootfs.diff_ids[0]` of the config)",
        ),
        (
            r#"{"rootfs": {"diff_ids": ["md5:00"]}}"#,
            "unsupported_digest: digest algorithm `md5` is not supported",
        ),
        (
            r#"{"rootfs": {"diff_ids": []}, "RootFS": {}}"#,
            "invalid_document: invalid config: the document has the key `RootFS`, which some readers take for `rootfs`",
        ),
        (
            r#"{"config": {"user": "root"}}"#,
            "invalid_document: invalid config: `config` has the key `user`, which some readers take for `User`",
        ),
    ] {
        assert_eq!(refused(raw), expected);
    }
    let layers = Limits { layers: 1, ..limits() };
    let two = format!(r#"{{"rootfs": {{"diff_ids": ["{0}", "{0}"]}}}}"#, Digest::sha256(b""));
    assert_eq!(Config::parse(two.as_bytes(), &layers).unwrap_err().code(), "limit_exceeded");
}

#[test]
fn the_summary_is_the_rest() {
    let config = read(
        r#"{"os": "linux", "history": [{}], "rootfs": {"diff_ids": []}, "x-unknown": [1], "config": {"Cmd": null}}"#,
    );
    let summary = config.summary().unwrap();
    assert_eq!(summary, serde_json::json!({"os": "linux", "x-unknown": [1], "config": {"Cmd": null}}));
}
