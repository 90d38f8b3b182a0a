//! Files through proxies, and past them.

use std::io::Write;
use std::net::TcpListener;
use std::thread;

use mosaic_lab::download::proxy_settings::ProxySettings;

use crate::server::{Server, file, proxy, whole};
use crate::{Place, content};

fn through(variables: &[(&str, String)]) -> ProxySettings {
    let value = |name: &str| {
        variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| value.clone())
    };
    ProxySettings::from_variables(value)
}

#[test]
fn requests_go_through_the_proxy_in_absolute_form_and_past_it_to_exceptions() {
    let bytes = content(100_000);
    let served = bytes.clone();
    let server = Server::start(move |request, stream| file(request, stream, &served, 70_000));
    let proxy = proxy();
    let address = format!("http://me:se%40cret@127.0.0.1:{}", proxy.port);
    let mut place = Place::new(&bytes);
    place.settings.proxies = through(&[("http_proxy", address.clone())]);
    place.fetched(&[&server.url("/a?b=c")], &bytes);
    let seen = proxy.requests();
    assert_eq!(seen.len(), 2, "the transfer broke once");
    assert_eq!(seen[0].line, format!("GET {} HTTP/1.1", server.url("/a?b=c")));
    // me:se@cret
    assert_eq!(seen[0].header("proxy-authorization"), Some("Basic bWU6c2VAY3JldA=="));
    assert_eq!(seen[1].from(), 70_000);
    assert_eq!(server.requests()[1].header("proxy-authorization"), None);

    let mut place = Place::new(&bytes);
    place.settings.proxies =
        through(&[("HTTP_PROXY", address), ("NO_PROXY", "localhost,127.0.0.0/8".to_owned())]);
    place.fetched(&[&server.url("/a")], &bytes);
    assert_eq!(proxy.requests().len(), 2);
}

#[test]
fn https_asks_for_a_tunnel_and_what_the_proxy_says_is_passed_on() {
    let bytes = content(1000);
    let refusing = Server::start(|_, stream| whole(stream, "403 Forbidden", &[], b"no"));
    let mut place = Place::new(&bytes);
    let address = format!("127.0.0.1:{}", refusing.port);
    place.settings.proxies = through(&[("ALL_PROXY", address.clone())]);
    let error = place.refused(&["https://example.invalid/a"]);
    assert!(error.contains(&format!("the proxy '{address}'")) && error.contains("403"), "{error}");
    assert_eq!(refusing.requests()[0].line, "CONNECT example.invalid:443 HTTP/1.1");
    let error = place.refused(&["http://example.invalid/a"]);
    assert!(error.contains("403 (Forbidden)"), "{error}");

    // Through a tunnel that works: the server at its end does not speak TLS.
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || listener.accept().unwrap().0.write_all(b"this is not TLS\r\n"));
    let tunnel = proxy();
    let address = format!("http://127.0.0.1:{}", tunnel.port);
    place.settings.proxies = through(&[("https_proxy", address)]);
    let error = place.refused(&[&format!("https://127.0.0.1:{port}/a")]);
    assert!(error.contains("no trusted connection"), "{error}");
    assert_eq!(tunnel.requests()[0].line, format!("CONNECT 127.0.0.1:{port} HTTP/1.1"));
}

#[test]
fn a_proxy_that_is_not_there_is_named() {
    let free_port = {
        let server = Server::start(|_, _| {});
        server.port
    };
    thread::sleep(std::time::Duration::from_millis(50));
    let mut place = Place::new(&content(10));
    let address = format!("http://me:secret@127.0.0.1:{free_port}");
    place.settings.proxies = through(&[("ALL_PROXY", address)]);
    for url in ["http://example.invalid/a", "https://example.invalid/a"] {
        let error = place.refused(&[url]);
        assert!(error.contains(&format!("the proxy '127.0.0.1:{free_port}'")), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
    place.settings.proxies = through(&[("ALL_PROXY", "socks5://127.0.0.1:1".to_owned())]);
    let error = place.refused(&["http://example.invalid/a"]);
    assert!(error.contains("ALL_PROXY") && error.contains("'socks5'"), "{error}");
}
