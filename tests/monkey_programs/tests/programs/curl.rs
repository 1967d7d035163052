//! The `curl` crate, on the shared libcurl: HTTP, and HTTPS by the shared OpenSSL.

use std::fs;

use curl::easy::Easy;
use iora_monkey_programs::overlap::overlap;
use iora_monkey_programs::process::Folder;
use iora_monkey_programs::web::{self, BODY};

/// What is found there.
pub(super) fn get(url: &str, configure: impl FnOnce(&mut Easy)) -> Result<Vec<u8>, curl::Error> {
    let mut body = Vec::new();
    let mut easy = Easy::new();
    easy.url(url).expect("an address");
    configure(&mut easy);
    let mut transfer = easy.transfer();
    transfer
        .write_function(|bytes| {
            body.extend_from_slice(bytes);
            Ok(bytes.len())
        })
        .expect("a function");
    transfer.perform()?;
    drop(transfer);
    Ok(body)
}

#[test]
fn curl_http() {
    let address = web::http();
    overlap(move |number| {
        let body = get(&format!("http://{address}/{number}"), |_| {});
        assert_eq!(body.expect("an answer"), BODY.as_bytes());
    });
}

#[test]
fn curl_https() {
    let (address, certificate) = web::https();
    let folder = Folder::new();
    let file = folder.path().join("root.pem");
    fs::write(&file, certificate.pem()).expect("writes");
    overlap(move |number| {
        let url = format!("https://localhost:{}/{number}", address.port());
        let body = get(&url, |easy| easy.cainfo(&file).expect("a file"));
        assert_eq!(body.expect("an answer"), BODY.as_bytes());
    });
}
