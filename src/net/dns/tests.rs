//! Lookups that need no zone: names that cannot exist, and name servers that do not answer.

use super::*;

fn settings(server: SocketAddr) -> ResolverSettings {
    ResolverSettings { servers: vec![server], trust_anchors: None, timeout: Duration::from_millis(50), attempts: 0 }
}

#[tokio::test]
async fn a_name_that_cannot_exist_is_not_asked_for() {
    let nobody = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let resolver = Resolver::new(&settings(nobody.local_addr().unwrap())).unwrap();
    assert_eq!(resolver.mx("a b").await, Err(DnsError::NoName { secure: false }));
    let mut asked = [0; 512];
    assert!(nobody.try_recv(&mut asked).is_err());
}

#[tokio::test]
async fn silence_is_unavailable_and_ends_in_time() {
    let nobody = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let resolver = Resolver::new(&settings(nobody.local_addr().unwrap())).unwrap();
    for _ in 0..2 {
        assert!(matches!(resolver.mx("one.test").await, Err(DnsError::Unavailable(_))));
    }
    assert!(matches!(resolver.addresses("one.test").await, Err(DnsError::Unavailable(_))));
    assert!(!resolver.validates().await);
}
