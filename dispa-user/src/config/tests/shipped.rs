//! The files that come with the project, and the manual's example.

use super::super::findings::Findings;
use super::*;

const FULL: &str = include_str!("../../../../config/dispa.toml");
const MINIMAL: &str = include_str!("../../../../config/minimal.toml");
const REFERENCE: &str = include_str!("../../../../docs/configuration.md");

/// The complete example of the manual, put together from the snippets of its configuration guide.
const MANUAL: &str = r#"
[server]
bind_address = "0.0.0.0:8080"  # 代理服务监听地址
workers = 4                     # 工作线程数（建议设为 CPU 核心数）
keep_alive_timeout = 60         # HTTP 连接保持时间（秒）
request_timeout = 30            # 单个请求超时时间（秒）

[domains]
# 需要拦截的域名列表（支持通配符）
intercept_domains = [
    "example.com",      # 精确匹配
    "api.example.com",  # 子域名匹配
    "*.test.com"        # 通配符匹配
]

# 排除的域名列表（优先级高于拦截列表）
exclude_domains = ["admin.example.com", "internal.test.com"]

# 是否启用通配符支持
wildcard_support = true

# 定义多个后端服务器
[[targets.targets]]
name = "backend1"                    # 服务器名称
url = "http://192.168.1.100:3000"   # 后端服务器地址
weight = 3                          # 权重（用于加权负载均衡）
timeout = 30                        # 请求超时时间

[[targets.targets]]
name = "backend2"
url = "http://192.168.1.101:3000"
weight = 2
timeout = 30

[[targets.targets]]
name = "backend3"
url = "http://192.168.1.102:3000"
weight = 1
timeout = 30

[targets.load_balancing]
type = "weighted"              # 负载均衡算法
sticky_sessions = false       # 会话粘性（暂未实现）

[targets.health_check]
enabled = true              # 是否启用健康检查
interval = 30              # 检查间隔（秒）
timeout = 10               # 单次检查超时时间（秒）
healthy_threshold = 2      # 连续成功次数阈值（标记为健康）
unhealthy_threshold = 3    # 连续失败次数阈值（标记为不健康）

[logging]
enabled = true           # 是否启用日志记录
type = "both"           # 日志类型：file、database、both
retention_days = 30     # 日志保留天数

# 数据库存储配置
[logging.database]
url = "sqlite://./data/traffic.db"  # 数据库连接字符串
max_connections = 10                # 最大连接数
connection_timeout = 30             # 连接超时时间

# 文件存储配置
[logging.file]
directory = "./logs"               # 日志文件目录
max_file_size = 104857600         # 单个文件最大大小（100MB）
rotation = true                   # 是否启用日志轮转

[monitoring]
enabled = true              # 是否启用监控
metrics_port = 9090        # Prometheus 指标端口
health_check_port = 8081   # 健康检查 API 端口
"#;

fn titles(config: &Config) -> Vec<&str> {
    config.warnings.iter().filter_map(|warning| warning.lines().next()).collect()
}

#[test]
fn the_manuals_example_loads_and_says_what_has_no_effect() {
    let config = parse(MANUAL).expect("valid");
    assert_eq!(config.server.bind_address, address("0.0.0.0:8080"));
    assert_eq!(config.server.workers.get(), 4);
    assert_eq!(config.pools[0].balancing.algorithm, crate::balance::Algorithm::Weighted);
    assert_eq!(config.pools[0].balancing.sticky, None);
    let weights: Vec<u32> = config.backends.iter().map(|target| target.weight).collect();
    assert_eq!(weights, [3, 2, 1]);
    assert_eq!(config.backends[2].authority.to_string(), "192.168.1.102:3000");
    assert!(config.health.enabled);
    assert_eq!((config.health.interval.as_secs(), config.health.timeout.as_secs()), (30, 10));
    assert_eq!((config.health.thresholds.healthy, config.health.thresholds.unhealthy), (2, 3));
    let log = config.traffic_log.as_ref().expect("asked for");
    let (files, database) =
        (log.file.as_ref().expect("files"), log.database.as_ref().expect("both"));
    assert_eq!((files.directory.to_str(), files.max_file_size), (Some("./logs"), 104_857_600));
    assert_eq!(database.url, DatabaseUrl::Sqlite("./data/traffic.db".into()));
    assert_eq!((database.max_connections, database.connection_timeout.as_secs()), (10, 30));
    assert_eq!((log.retention_days, files.rotation), (30, true));
    assert_eq!(titles(&config), [""; 0]);
    assert!(config.monitoring.enabled && config.monitoring.metrics.required);
    assert_eq!(config.monitoring.metrics.address, address("127.0.0.1:9090"));
    assert_eq!(config.monitoring.health.address, address("127.0.0.1:8081"));
}

#[test]
fn the_shipped_files_load_without_a_warning() {
    for text in [FULL, MINIMAL] {
        let config = parse(text).expect("valid");
        assert_eq!(config.warnings, [""; 0]);
        assert!(!config.rules.is_empty());
    }
}

/// The full file with every setting that is left at its default written out.
fn uncommented() -> String {
    let uncomment = |line: &'static str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()) => rest,
        _ => line,
    };
    FULL.lines().map(uncomment).collect::<Vec<_>>().join("\n")
}

fn known_keys(text: &str) -> Findings {
    let parsed = Parsed::new(text);
    Section::read_document(parsed.tree.get_ref(), Config::read).1
}

/// Whether the document has the key in that section; in the first of a `[[section]]`.
fn has(document: &toml::Table, section: &str, key: &str) -> bool {
    let path = section.trim_matches(['[', ']']).split('.').filter(|name| !name.is_empty());
    let mut table = Some(document);
    for name in path {
        let value = table.and_then(|table| table.get(name));
        let first = value.map(|value| value.get(0).unwrap_or(value));
        table = first.and_then(toml::Value::as_table);
    }
    table.is_some_and(|table| table.contains_key(key))
}

#[test]
fn the_full_file_has_every_key() {
    let text = uncommented();
    let document: toml::Table = text.parse().expect("TOML");
    for (section, key) in known_keys(&text).known_keys() {
        assert!(has(&document, section, key), "{key} is missing in {section}");
    }
}

/// Whether the reference has the key in the table of its section, or has it as a section.
fn is_documented(section: &str, key: &str) -> bool {
    let heading = format!("## `{section}`\n");
    let rest = REFERENCE.split_once(&heading).map_or("", |(_, rest)| rest);
    let table = rest.split("\n#").next().unwrap_or_default();
    let path = format!("{}.{key}", section.trim_matches(['[', ']']));
    let is_section = REFERENCE.contains(&format!("[{}", path.trim_start_matches('.')));
    table.contains(&format!("\n| `{key}` |")) || is_section
}

#[test]
fn the_reference_has_every_key() {
    for (section, key) in known_keys(&uncommented()).known_keys() {
        assert!(is_documented(section, key), "{key} is missing in {section}");
    }
}

#[test]
fn what_the_full_file_calls_defaults_are_the_defaults() {
    let (left_out, written) = (parse(FULL).expect("valid"), parse(&uncommented()).expect("valid"));
    let but_workers =
        |config: &Config| Server { workers: std::num::NonZeroUsize::MIN, ..config.server.clone() };
    assert_eq!(but_workers(&left_out), but_workers(&written));
    assert_eq!(left_out.http, written.http);
    assert_eq!(left_out.connections, written.connections);
    assert_eq!(written.backends[0].timeout, Some(written.http.first_byte_timeout));
    assert_eq!(written.backends[0].max_connections, Some(written.connections.max_per_target));
    let but_own_limits = |config: &Config| -> Vec<Target> {
        let backends = config.backends.iter();
        backends.map(|it| Target { timeout: None, max_connections: None, ..it.clone() }).collect()
    };
    assert_eq!(but_own_limits(&left_out), but_own_limits(&written));
    assert_eq!(left_out.pools, written.pools);
    assert_eq!(left_out.health.thresholds, written.health.thresholds);
    assert_eq!(left_out.intercept, written.intercept);
    assert_eq!(left_out.logging, written.logging);
    assert_eq!((&left_out.traffic_log, &written.traffic_log), (&None, &None));
    let both = parse("[logging]\ntype = 'both'").expect("valid").traffic_log;
    let switched_on = uncommented()
        .replace("\nenabled = false\n", "\nenabled = true\n")
        .replace("type = \"file\"\nretention_days", "type = \"both\"\nretention_days");
    assert_eq!(parse(&switched_on).expect("valid").traffic_log, both);
    let asks = |config: &Config| {
        let Admin { socket, page } = config.admin.clone();
        (socket, page.address(), page.token_file, page.allowed_hosts)
    };
    assert_eq!(asks(&left_out), asks(&written));
    let places = |config: &Config| {
        let Monitoring { enabled, metrics, health } = config.monitoring;
        (enabled, metrics.address, health.address)
    };
    assert_eq!(places(&left_out), places(&written));
}
