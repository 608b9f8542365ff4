//! What other clients do with HTTP/1.1 and WebSocket, at both doors, with Node's server behind
//! them. Each prints a line for each thing it tries.

use anyhow::Result;
use dispa_e2e::{Script, at_both_doors};

const REQUESTS: Script = Script::Python(include_str!("../clients/with_requests.py"));
const HTTPX: Script = Script::Python(include_str!("../clients/with_httpx.py"));
const WEBSOCKETS: Script = Script::Python(include_str!("../clients/with_websockets.py"));
const UNDICI: Script = Script::Node(include_str!("../clients/with_undici.mjs"));
const NODE: Script = Script::Node(include_str!("../clients/with_node.mjs"));
const JAVA: &str = include_str!("../clients/Client.java");

#[test]
fn pythons_requests() -> Result<()> {
    at_both_doors(|site, _, way| {
        let lines = site.script(REQUESTS, &[way])?;
        let expected = [
            "get origin /hello",
            "length 2097152 True",
            "chunked 70011 True",
            "multipart True 2",
            "query /echo?q=a+b%26c&%C3%BC=%C3%9F ['a=1; b=2']",
            "stream 100000",
            "head 100000 0",
            "statuses [204, 304, 418, 500]",
            "methods ['PATCH', 'DELETE', 'OPTIONS', 'PROPFIND']",
        ];
        assert_eq!(lines.lines().collect::<Vec<_>>(), expected, "{way}");
        Ok(())
    })
}

#[test]
fn pythons_httpx() -> Result<()> {
    at_both_doors(|site, _, way| {
        let lines = site.script(HTTPX, &["h1", way])?;
        let expected = [
            "get HTTP/1.1 origin /hello",
            "stream up 250000 True",
            "cookies 1 ['a=1', 'b=2', 'c=3', 'd=4']",
            "stream down 100000",
            "head 100000 0",
            "statuses [204, 304, 404, 503]",
            "at once 100",
        ];
        assert_eq!(lines.lines().collect::<Vec<_>>(), expected, "{way}");
        Ok(())
    })
}

#[test]
fn pythons_websockets() -> Result<()> {
    at_both_doors(|site, origin, way| {
        let (pings, ends) = (origin.count("ping here"), origin.count("closed 4321 enough"));
        let lines = site.script(WEBSOCKETS, &[way])?;
        let expected = [
            "compressed 6 in three frames None",
            "plain 6 in three frames lab.one",
            "closed ['1000 as asked', '1001 as asked', '1011 as asked', '4001 as asked']",
            "at once 50",
        ];
        assert_eq!(lines.lines().collect::<Vec<_>>(), expected, "{way}");
        assert_eq!(origin.count("ping here") - pings, 2, "{way}");
        assert_eq!(origin.count("closed 4321 enough") - ends, 2, "{way}");
        Ok(())
    })
}

#[test]
fn nodes_undici() -> Result<()> {
    at_both_doors(|site, _, way| {
        let lines = site.script(UNDICI, &["h1", way])?;
        let expected = [
            "get origin /hello",
            "stream up 250000 true",
            "at once 100",
            "head 200 100000 0",
            "file 100000",
        ];
        assert_eq!(lines.lines().collect::<Vec<_>>(), expected, "{way}");
        Ok(())
    })
}

#[test]
fn nodes_own_client_and_its_websocket() -> Result<()> {
    at_both_doors(|site, origin, way| {
        let ends = origin.count("closed 4002 bye");
        let lines = site.script(NODE, &[way])?;
        let expected = [
            "get origin /hello",
            r#"hints [[103,"</style.css>; rel=preload; as=style"]]"#,
            r#"trailers down {"x-sum":"3"}"#,
            "trailers up 2 x-end: yes",
            "at once 200",
            "websocket true here 4002 bye",
        ];
        assert_eq!(lines.lines().collect::<Vec<_>>(), expected, "{way}");
        assert_eq!(origin.count("closed 4002 bye") - ends, 1, "{way}");
        Ok(())
    })
}

#[test]
fn javas_client_that_would_rather_speak_http2() -> Result<()> {
    at_both_doors(|site, _, way| {
        let source = site.lab.file("Client.java", JAVA)?.display().to_string();
        let lines = site.client("java", &["-XX:TieredStopAtLevel=1", &source, way])?;
        let expected = [
            "get HTTP_1_1 200 upgrade false",
            "length true",
            "chunked true",
            "at once 50",
            "websocket true",
            "closed 1000",
        ];
        assert_eq!(lines.lines().collect::<Vec<_>>(), expected, "{way}");
        Ok(())
    })
}
