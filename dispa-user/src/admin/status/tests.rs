//! How a daemon tells how it is.

use super::path::FaultStatus;
use super::{
    AttributionCounts, ClientStatus, Connections, DomainStatus, DoorStatus, Exchanges,
    KernelCounts, KernelStatus, PathStatus, PoolStatus, ReloadStatus, Status, TargetStatus,
};
use crate::{
    config::{Config, Overrides},
    sink::Accounts,
    state::{Last, State},
};

fn target(name: &str) -> TargetStatus {
    TargetStatus {
        name: name.to_owned(),
        url: "http://10.0.0.1:80".to_owned(),
        weight: 1,
        backup: false,
        state: "up".to_owned(),
        under_way: 3,
        latency_ms: Some(12.34),
        exchanges: Exchanges { good: 1_000, errors: 2, failures: 0 },
        connections: Connections {
            opened: 7,
            failed: 1,
            kernel: Some(KernelCounts {
                closed: 4,
                bytes_out: 1_500,
                bytes_in: 3 << 30,
                retransmits: 0,
                rtt_us: 80,
            }),
        },
    }
}

fn domain(pattern: &str, addresses: &[&str]) -> DomainStatus {
    DomainStatus {
        pattern: pattern.to_owned(),
        pool: "default".to_owned(),
        names: usize::from(!addresses.is_empty()),
        addresses: addresses.iter().filter_map(|it| it.parse().ok()).collect(),
    }
}

#[test]
fn as_people_read_it() {
    let idle = TargetStatus {
        backup: true,
        state: "ejected".to_owned(),
        latency_ms: None,
        connections: Connections { opened: 0, failed: 0, kernel: None },
        ..target("another one")
    };
    let empty = PoolStatus {
        name: "default".to_owned(),
        balancing: "roundrobin".to_owned(),
        targets: Vec::new(),
    };
    let pool =
        PoolStatus { name: "b".to_owned(), targets: vec![target("one"), idle], ..empty.clone() };
    let status = Status {
        version: "0.1.0".to_owned(),
        uptime_seconds: 93_784,
        generation: 1,
        last_reload: Some(ReloadStatus {
            at: 0,
            error: None,
            refused: 0,
            needs_restart: vec!["server.workers".to_owned()],
        }),
        doors: DoorStatus {
            explicit: "127.0.0.1:8080".parse().ok(),
            transparent4: Some(40_001),
            transparent6: Some(40_002),
            cgroup: Some("/sys/fs/cgroup".into()),
            metrics: "127.0.0.1:9090".parse().ok(),
            health: None,
            page: "127.0.0.1:9080".parse().ok(),
        },
        clients: ClientStatus { open: 80, most: 100, level: "crowded".to_owned(), short_of: None },
        kernel: Some(KernelStatus {
            outcomes: [("redirected_v4".to_owned(), 9), ("paused".to_owned(), 0)].into(),
            slots_in_use: 3,
            slots_free: 65_000,
            names: 2,
            addresses: 6,
            not_learned: 0,
        }),
        path: Some(PathStatus {
            standing: "proven".to_owned(),
            since_seconds: 90,
            looked_seconds: 1,
            faults: Vec::new(),
        }),
        domains: vec![
            domain("*.test.com", &[]),
            domain("example.com", &["10.0.0.1", "10.0.0.2", "10.0.0.3", "::1"]),
        ],
        more_domains: 5,
        outcomes: [("ok".to_owned(), 7), ("relayed".to_owned(), 2)].into(),
        errors: 0,
        retries_refused: 5,
        attribution: Some(AttributionCounts { attributed: 12, unnamed: 1, unknown: 2, remote: 0 }),
        not_counted: None,
        traffic_log: vec![Accounts {
            sink: "file".to_owned(),
            place: "./logs".to_owned(),
            observed: 10,
            written: 6,
            queued: 1,
            dropped: [("disk_full".to_owned(), 3)].into(),
            ..Accounts::default()
        }],
        pools: vec![empty, pool],
    };
    assert_eq!(
        format!("\n{status}"),
        "
dispa 0.1.0, up for 1 d 2 h, configuration 1
the last reload, at 1970-01-01T00:00:00Z, was good; as before until a restart: server.workers
doors: 127.0.0.1:8080 explicit; lo:40001 and 40002 transparent, for /sys/fs/cgroup; 127.0.0.1:9090 metrics; 127.0.0.1:9080 page
clients: 80 connections of at most 100; new ones of who has half of them go direct
kernel: 9 redirected_v4; 2 names with 6 addresses; 3 slots in use
effective path: proven 1 s ago by connections of dispa's own
exchanges: 7 ok, 2 relayed
not repeated, for too many were: 5 requests
programs that connected: 12 times known, 2 times not
traffic log, file ./logs: 10 observed = 6 written + 1 queued + 0 spilled + 3 dropped (3 disk_full)

  domain       pool     names  addresses
  *.test.com   default  0      -
  example.com  default  1      10.0.0.1, 10.0.0.2, 10.0.0.3 and 1 more
  and 5 more

pool b (roundrobin)
  target       state            weight  under way  good  errors  failures  latency  out / in           rtt
  one          up               1       3          1000  2       0         12.3 ms  1.4 KiB / 3.0 GiB  80 us
  another one  ejected, backup  1       3          1000  2       0         -        -                  -
"
    );
}

#[test]
fn a_broken_path_tells_what_is_wrong_and_what_is_to_be_done() {
    let fault = |what: &str| FaultStatus { what: what.to_owned(), remedy: "mend it".to_owned() };
    let path = |standing: &str, faults| PathStatus {
        standing: standing.to_owned(),
        since_seconds: 7,
        looked_seconds: 2,
        faults,
    };
    for (standing, faults, told) in [
        (
            "broken",
            vec![fault("this"), fault("that")],
            "BROKEN for 7 s\n  this: mend it\n  that: mend it",
        ),
        ("unknown", Vec::new(), "not looked at yet"),
        (
            "assumed",
            Vec::new(),
            "not proven, for dispa itself is not intercepted; programs, tables and doors were as they should \
             be 2 s ago",
        ),
    ] {
        assert_eq!(path(standing, faults).to_string(), format!("effective path: {told}"));
    }
}

#[test]
fn a_daemon_tells_of_every_pool() {
    let text = "
[[targets.targets]]
name = 'one'
url = 'https://one.test'
[[backends]]
id = 'two'
address = 'two.test:81'
tags = ['t']
weight = 4
[[virtual_hosts]]
domain = 'a.test'
enabled_backends_tag = 't'
";
    let config = Config::parse(text, "c.toml", &Overrides::default()).expect("valid");
    let status =
        Status::of(&State::new(&config, None, std::sync::Arc::default()), &Last::default());
    assert_eq!(status.not_counted.as_deref(), Some("interception is off"));
    let json = serde_json::to_string(&status).expect("serialises");
    assert_eq!(serde_json::from_str::<Status>(&json).expect("reads"), status);
    let told: Vec<_> = status
        .pools
        .iter()
        .flat_map(|pool| pool.targets.iter().map(move |it| (pool.name.as_str(), it)))
        .map(|(pool, it)| (pool, it.name.as_str(), it.url.as_str(), it.weight, &*it.state))
        .collect();
    assert_eq!(
        told,
        [
            ("default", "one", "https://one.test:443", 1, "up"),
            ("t", "two", "http://two.test:81", 4, "up")
        ]
    );
}
