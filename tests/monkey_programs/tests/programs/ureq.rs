//! `ureq`: HTTP, and HTTPS by rustls.

use iora_monkey_programs::overlap::overlap;
use iora_monkey_programs::web::{self, BODY};
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

#[test]
fn ureq_http() {
    let address = web::http();
    overlap(move |number| {
        let mut answer = ureq::get(format!("http://{address}/{number}"))
            .call()
            .expect("an answer");
        assert_eq!(answer.body_mut().read_to_string().expect("text"), BODY);
    });
}

#[test]
fn ureq_https() {
    let (address, certificate) = web::https();
    let root = Certificate::from_der(certificate.der()).to_owned();
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&[root]))
        .build();
    let agent = Agent::new_with_config(Agent::config_builder().tls_config(tls).build());
    overlap(move |number| {
        let url = format!("https://localhost:{}/{number}", address.port());
        let mut answer = agent.get(url).call().expect("an answer");
        assert_eq!(answer.body_mut().read_to_string().expect("text"), BODY);
    });
}
