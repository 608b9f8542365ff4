//! The ports from outside.

use std::{
    net::SocketAddr,
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{Monitor, MonitoringPorts, Vitals};
use crate::{
    config::{Config, Overrides},
    kernel::monotonic_ns,
    life::{Phase, Pulse, StopHandle, stop_signal},
    net::Listener,
    state::{ConfigSource, Live, Reloader, State},
    upstream::ProbeError,
};

const TEXT: &str = "
[domains]
intercept_domains = ['a.test']
[[targets.targets]]
name = 'one'
url = 'http://127.0.0.1:1'
[monitoring]
metrics_port = 0
health_check_port = 0
";

/// A daemon's parts, as far as they are watched.
struct Watched {
    live: Arc<Live>,
    pulse: Pulse,
    stop: StopHandle,
    metrics: SocketAddr,
    health: SocketAddr,
    _monitor: Monitor,
}

fn config(text: &str) -> Config {
    Config::parse(text, "c.toml", &Overrides::default()).expect("valid")
}

fn watched() -> Watched {
    let config = config(TEXT);
    let live = Live::new(State::new(&config, None, Arc::default()));
    let source = ConfigSource::new("/nowhere/dispa.toml".into(), Overrides::default());
    let reloader = Reloader::new(source, Arc::clone(&live));
    let pulse = Pulse::new(NonZeroUsize::MIN);
    let _ = pulse.stamp(0, monotonic_ns());
    let (stop, stopped) = stop_signal();
    let (writer, _guard) = tracing_appender::non_blocking(std::io::sink());
    let dropped = writer.error_counter();
    let vitals = Vitals::new(Arc::clone(&live), reloader, pulse.clone(), stopped, Some(dropped));
    let ports = MonitoringPorts::open(&config.monitoring, [None, None]).expect("free ports");
    let address =
        |listener: &Option<Listener>| listener.as_ref().expect("open").local_addr().expect("bound");
    let (metrics, health) = (address(&ports.metrics), address(&ports.health));
    let monitor = Monitor::serve(ports, vitals);
    Watched { live, pulse, stop, metrics, health, _monitor: monitor }
}

async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("somebody listens");
    // It may be refused before it is sent to its end.
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).expect("text")
}

async fn get(address: SocketAddr, path: &str) -> String {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").expect("a whole answer").1
}

#[tokio::test]
async fn health_is_told_part_by_part_and_down_where_one_is() {
    let watched = watched();
    let answer = get(watched.health, "/health").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let health: serde_json::Value = serde_json::from_str(body(&answer)).expect("JSON");
    assert_eq!(health["status"], "healthy");
    assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
    assert!(health["uptime"].is_u64(), "{health}");
    let timestamp = health["timestamp"].as_str().expect("text");
    assert!(timestamp.len() == "2024-01-01T12:00:00Z".len() && timestamp.ends_with('Z'));
    let expected = serde_json::json!({
        "proxy_server": "healthy",
        "interception": "disabled",
        "load_balancer": "healthy",
        "traffic_logger": "disabled",
        "metrics_collector": "healthy",
    });
    assert_eq!(health["components"], expected);

    let state = watched.live.state();
    state.backends.probed(&state.backends.all()[0], Err(&ProbeError::TimedOut));
    let answer = get(watched.health, "/health").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    let health: serde_json::Value = serde_json::from_str(body(&answer)).expect("JSON");
    assert_eq!(
        (&health["status"], &health["components"]["load_balancer"]),
        (&"unhealthy".into(), &"unhealthy".into())
    );
    assert!(get(watched.health, "/-/ready").await.starts_with("HTTP/1.1 200 "), "dispa is");
}

#[tokio::test]
async fn a_hung_worker_and_a_stop_are_seen() {
    let watched = watched();
    for address in [watched.metrics, watched.health] {
        assert!(get(address, "/-/ready").await.starts_with("HTTP/1.1 200 "));
        assert!(get(address, "/-/healthy").await.starts_with("HTTP/1.1 200 "));
    }
    let long_ago = monotonic_ns() - 2_000_000_000;
    let _ = watched.pulse.stamp(0, long_ago);
    assert!(get(watched.metrics, "/-/ready").await.starts_with("HTTP/1.1 503 "));
    assert!(get(watched.health, "/health").await.contains("\"proxy_server\":\"unhealthy\""));
    assert!(get(watched.metrics, "/-/healthy").await.starts_with("HTTP/1.1 200 "), "it answers");
    let _ = watched.pulse.stamp(0, monotonic_ns());
    assert!(get(watched.metrics, "/-/ready").await.starts_with("HTTP/1.1 200 "));
    watched.stop.advance(Phase::Draining);
    assert!(get(watched.metrics, "/-/ready").await.starts_with("HTTP/1.1 503 "));
}

#[tokio::test]
async fn metrics_are_written_as_is_liked() {
    let watched = watched();
    let answer = get(watched.metrics, "/metrics").await;
    assert!(answer.contains("\r\ncontent-type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    for line in [
        "\ndispa_target_healthy{target=\"one\"} 1\n",
        "\ndispa_target_requests_total{target=\"one\"} 0\n",
        "\ndispa_active_connections{door=\"explicit\"} 0\n",
        "\ndispa_pool_targets_healthy{pool=\"default\"} 1\n",
        "\ndispa_config_reloads_total{result=\"ok\"} 0\n",
        "\n# TYPE process_cpu_seconds_total counter\n",
    ] {
        assert!(answer.contains(line), "{line} is not in\n{answer}");
    }
    assert!(!answer.contains("# EOF"), "{answer}");
    let liked = "GET /metrics HTTP/1.1\r\nHost: a\r\n\
                 Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n\r\n";
    let answer = ask(watched.metrics, liked).await;
    assert!(answer.contains("\r\ncontent-type: application/openmetrics-text; version=1.0.0"));
    assert!(answer.contains("\n# TYPE process_cpu_seconds counter\n"), "{answer}");
    assert!(answer.ends_with("\n# EOF\n"), "{answer}");
}

#[tokio::test]
async fn nothing_else_is_answered() {
    let watched = watched();
    let there = ["/health", "/", "/metrics/", "/v1/reload"];
    for path in there {
        assert!(get(watched.metrics, path).await.starts_with("HTTP/1.1 404 "), "{path}");
    }
    assert!(get(watched.health, "/metrics").await.starts_with("HTTP/1.1 404 "));
    let refused = ask(watched.metrics, "POST /metrics HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(refused.starts_with("HTTP/1.1 405 ") && refused.contains("allow: GET, HEAD"));
    let head = ask(watched.metrics, "HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 ") && body(&head).is_empty(), "{head}");
    let long = format!("GET /metrics HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    assert!(!ask(watched.metrics, &long).await.contains(" 200 "), "a head has its limit");
}

#[tokio::test]
async fn whoever_says_nothing_is_cut_and_holds_nobody_up() {
    let watched = watched();
    let begun = Instant::now();
    let mut silent = TcpStream::connect(watched.metrics).await.expect("somebody listens");
    assert!(get(watched.metrics, "/metrics").await.contains(" 200 "));
    assert!(begun.elapsed() < Duration::from_secs(4));
    let mut nothing = Vec::new();
    let _ = silent.read_to_end(&mut nothing).await;
    assert!(nothing.is_empty() && begun.elapsed() >= Duration::from_secs(4));
}

#[tokio::test]
async fn a_port_that_is_taken_ends_the_start_only_where_it_was_asked_for() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("free");
    let port = taken.local_addr().expect("bound").port();
    let asked = config(&TEXT.replace("metrics_port = 0", &format!("metrics_port = {port}")));
    let error = MonitoringPorts::open(&asked.monitoring, [None, None]).expect_err("taken");
    assert!(
        error.to_string().ends_with("choose another address with monitoring.metrics_port"),
        "{error}"
    );
    let mut by_default = asked.monitoring;
    by_default.metrics.required = false;
    let ports = MonitoringPorts::open(&by_default, [None, None]).expect("goes on");
    assert!(ports.metrics.is_none() && ports.health.is_some());
    by_default.enabled = false;
    let ports = MonitoringPorts::open(&by_default, [None, None]).expect("none");
    assert!(ports.metrics.is_none() && ports.health.is_none());
}
