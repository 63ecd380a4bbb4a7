//! The examples of the RFCs, tokens of our own that are wrong in one place each, and the ways in which a token asks to
//! be judged by itself.

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use super::*;
use crate::jwt::key_set::KeySetFault;

/// The claims of RFC 7515, A.1.1: the issuer is `joe`, and the end is [`EXPIRY`].
const CLAIMS: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

const EXPIRY: f64 = 1_300_819_380.0;

/// RFC 7515, A.2.
const RSA_MODULUS: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-\
    yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2Ca\
    pHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";

const RSA_SIGNATURE: &str = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGb\
    ds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--\
    xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";

/// RFC 7515, A.3.
const EC_SIGNATURE: &str = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

/// RFC 8037, A.4, whose payload is a sentence and no claims.
const ED_TOKEN: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.\
    hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

fn rfc_keys() -> KeySet {
    let keys = json!({ "keys": [
        { "kty": "RSA", "n": RSA_MODULUS, "e": "AQAB" },
        { "kty": "EC", "crv": "P-256",
          "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" },
        { "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" },
    ] });
    KeySet::parse(keys.to_string().as_bytes()).expect("keys")
}

fn encoded(text: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// Any issuer and audience, and no leeway.
fn lenient() -> JwtPolicy {
    JwtPolicy { algorithms: JwtAlgorithm::ALL.into(), issuer: None, audience: Vec::new(), leeway: Duration::ZERO }
}

#[test]
fn the_examples_of_the_rfcs_are_good_until_a_bit_differs() {
    let keys = rfc_keys();
    for (algorithm, signature) in [("RS256", RSA_SIGNATURE), ("ES256", EC_SIGNATURE)] {
        let header = encoded(format!("{{\"alg\":\"{algorithm}\"}}"));
        let token = format!("{header}.{CLAIMS}.{signature}");
        let judged = |token: &str, now| verify(token.as_bytes(), &keys, &lenient(), now);
        let good = judged(&token, EXPIRY - 1.0).expect("it is good");
        assert!(good.payload.as_bytes().starts_with(b"{\"iss\":\"joe\",\r\n"));
        assert_eq!(judged(&token, EXPIRY).unwrap_err(), JwtFault::Expired, "{algorithm}");
        for at in [0, 1, signature.len() / 2] {
            let mut bad = signature.as_bytes().to_vec();
            bad[at] = if bad[at] == b'A' { b'B' } else { b'A' };
            let bad = String::from_utf8(bad).expect("text");
            assert_eq!(judged(&format!("{header}.{CLAIMS}.{bad}"), 0.0).unwrap_err(), JwtFault::BadSignature);
        }
        let other =
            CLAIMS.replacen("ImpvZSI", "ImpvYSI", 1).replacen("Iiam9l", "Iiam9h", 1).replacen("qb2Ui", "qb2Ei", 1);
        assert_ne!(other, CLAIMS);
        assert_eq!(judged(&format!("{header}.{other}.{signature}"), 0.0).unwrap_err(), JwtFault::BadSignature);
    }
    let (signed, signature) = ED_TOKEN.rsplit_once('.').expect("dots");
    let key = keys.find(None, JwtAlgorithm::EdDsa).expect("a key");
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    assert!(key.verifies(signed.as_bytes(), &signature) && !key.verifies(&signed.as_bytes()[1..], &signature));
}

/// An issuer with a key of each kind that can be made here.
struct Issuer {
    elliptic: EcdsaKeyPair,
    edwards: Ed25519KeyPair,
}

impl Issuer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let how = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let elliptic = EcdsaKeyPair::generate_pkcs8(how, &random).expect("a key");
        let edwards = Ed25519KeyPair::generate_pkcs8(&random).expect("a key");
        Self {
            elliptic: EcdsaKeyPair::from_pkcs8(how, elliptic.as_ref(), &random).expect("a key"),
            edwards: Ed25519KeyPair::from_pkcs8(edwards.as_ref()).expect("a key"),
        }
    }

    fn keys(&self) -> KeySet {
        let point = self.elliptic.public_key().as_ref();
        let keys = json!({ "keys": [
            { "kty": "EC", "crv": "P-256", "kid": "ec", "x": encoded(&point[1..33]), "y": encoded(&point[33..]) },
            { "kty": "OKP", "crv": "Ed25519", "kid": "ed", "use": "sig", "x": encoded(self.edwards.public_key()) },
            { "kty": "RSA", "kid": "rsa", "n": RSA_MODULUS, "e": "AQAB" },
        ] });
        KeySet::parse(keys.to_string().as_bytes()).expect("keys")
    }

    /// A token by the key of Ed25519.
    fn token(&self, header: &Value, claims: &Value) -> String {
        self.raw(&header.to_string(), &claims.to_string())
    }

    fn raw(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", encoded(header), encoded(claims));
        let signature = self.edwards.sign(signed.as_bytes());
        format!("{signed}.{}", encoded(signature))
    }
}

fn header() -> Value {
    json!({ "alg": "EdDSA", "kid": "ed" })
}

#[test]
fn claims_are_good_at_their_time_from_their_issuer_and_for_us() {
    let issuer = Issuer::new();
    let keys = issuer.keys();
    let leeway = Duration::from_secs(60);
    let us =
        JwtPolicy { issuer: Some("joe".to_owned()), audience: vec!["shop".into(), "api".into()], leeway, ..lenient() };
    let judged = |claims: Value, now: f64| {
        verify(issuer.token(&header(), &claims).as_bytes(), &keys, &us, now).map(|good| good.until)
    };
    let claims = |more: Value| {
        let mut all = json!({ "iss": "joe", "aud": "shop", "exp": 1000, "sub": "u" });
        all.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        all
    };
    assert_eq!(judged(claims(json!({})), 0.0), Ok(1060.0));
    for (more, now, wanted) in [
        (json!({}), 1059.9, None),
        (json!({}), 1060.0, Some(JwtFault::Expired)),
        (json!({ "exp": 999.5 }), 1059.6, Some(JwtFault::Expired)),
        (json!({ "exp": -1 }), 59.0, Some(JwtFault::Expired)),
        (json!({ "exp": null }), 0.0, Some(JwtFault::NoExpiry)),
        (json!({ "exp": "1000" }), 0.0, Some(JwtFault::Malformed("its claims are no such JSON"))),
        (json!({ "nbf": 100 }), 40.0, None),
        (json!({ "nbf": 100 }), 39.9, Some(JwtFault::NotYetValid)),
        (json!({ "iss": "jo" }), 0.0, Some(JwtFault::WrongIssuer)),
        (json!({ "iss": null }), 0.0, Some(JwtFault::WrongIssuer)),
        (json!({ "aud": "shops" }), 0.0, Some(JwtFault::WrongAudience)),
        (json!({ "aud": ["other", "api"] }), 0.0, None),
        (json!({ "aud": [] }), 0.0, Some(JwtFault::WrongAudience)),
        (json!({ "aud": null }), 0.0, Some(JwtFault::WrongAudience)),
        (json!({ "aud": 7 }), 0.0, Some(JwtFault::Malformed("its claims are no such JSON"))),
    ] {
        assert_eq!(judged(claims(more.clone()), now).err(), wanted, "{more} at {now}");
    }
}

#[test]
fn a_token_does_not_choose_how_it_is_judged() {
    let issuer = Issuer::new();
    let keys = issuer.keys();
    let claims = json!({ "exp": 1000, "sub": "u" });
    let judged = |token: &str| verify(token.as_bytes(), &keys, &lenient(), 0.0).err();
    let with = |header: Value| judged(&issuer.token(&header, &claims));
    assert_eq!(with(header()), None);
    // `none`, in all its letters, with and without a signature.
    for word in ["none", "None", "NONE", "nOnE", ""] {
        let signed = issuer.token(&json!({ "alg": word, "kid": "ed" }), &claims);
        let (bare, _) = signed.rsplit_once('.').expect("dots");
        assert_eq!(judged(&signed), Some(JwtFault::BadAlgorithm), "{word}");
        assert_eq!(judged(&format!("{bare}.")), Some(JwtFault::BadAlgorithm), "{word}");
    }
    // A public key as the secret of HMAC, and algorithms that are not asked for.
    for word in ["HS256", "HS512", "RS512", "PS256", "ES384", "eddsa", "Ed25519"] {
        assert_eq!(with(json!({ "alg": word, "kid": "rsa" })), Some(JwtFault::BadAlgorithm), "{word}");
    }
    let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, RSA_MODULUS.as_bytes());
    let signed =
        format!("{}.{}", encoded(json!({ "alg": "HS256", "kid": "rsa" }).to_string()), encoded(claims.to_string()));
    let forged = format!("{signed}.{}", encoded(ring::hmac::sign(&secret, signed.as_bytes())));
    assert_eq!(judged(&forged), Some(JwtFault::BadAlgorithm));
    // The key of another kind, no key, and a key of the token's own.
    for (id, algorithm) in [("rsa", "EdDSA"), ("ed", "ES256"), ("ed", "RS256"), ("other", "EdDSA"), ("", "EdDSA")] {
        assert_eq!(with(json!({ "alg": algorithm, "kid": id })), Some(JwtFault::UnknownKey), "{id} {algorithm}");
    }
    assert_eq!(with(json!({ "alg": "ES256", "kid": "ec" })), Some(JwtFault::BadSignature), "signed by another key");
    assert_eq!(with(json!({ "alg": "EdDSA" })), None, "there is one key of the kind");
    let own = Issuer::new();
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": encoded(own.edwards.public_key()) });
    let forged = own.token(&json!({ "alg": "EdDSA", "kid": "ed", "jwk": jwk, "jku": "http://evil.example/" }), &claims);
    assert_eq!(judged(&forged), Some(JwtFault::BadSignature));
    // Only what is allowed.
    let policy = JwtPolicy { algorithms: vec![JwtAlgorithm::Es256], ..lenient() };
    let token = issuer.token(&header(), &claims);
    assert_eq!(verify(token.as_bytes(), &keys, &policy, 0.0), Err(JwtFault::BadAlgorithm));
}

#[test]
fn a_token_of_another_form_is_none() {
    let issuer = Issuer::new();
    let keys = issuer.keys();
    let judged = |token: &str| verify(token.as_bytes(), &keys, &lenient(), 0.0).err();
    let good = issuer.token(&header(), &json!({ "exp": 1000 }));
    let is_malformed = |token: &str| assert!(matches!(judged(token), Some(JwtFault::Malformed(_))), "{token}");
    // Cut anywhere.
    for end in 0..good.len() {
        assert!(judged(&good[..end]).is_some(), "{end}");
    }
    let ends = [".x", "=", " "].map(|end| format!("{good}{end}"));
    for token in ["", ".", "..", "...", "a.b.c"].into_iter().chain(ends.iter().map(String::as_str)) {
        is_malformed(token);
    }
    for header in [
        "",
        "[]",
        "null",
        "{}",
        "{\"alg\":7}",
        "{\"alg\":\"EdDSA\",\"alg\":\"none\"}",
        "{\"alg\":\"EdDSA\",\"kid\":\"ed\",\"crit\":[\"x\"]}",
        "{\"alg\":\"EdDSA\",\"kid\":\"ed\",\"b64\":false}",
        "{\"alg\":\"EdDSA\",\"kid\":[\"ed\"]}",
    ] {
        is_malformed(&issuer.raw(header, "{\"exp\":1000}"));
    }
    let good_header = header().to_string();
    for claims in ["", "[]", "7", "{\"exp\":1000", "{\"exp\":1000}x", "{\"exp\":1000,\"exp\":9000}", "{\"exp\":1e999}"]
    {
        is_malformed(&issuer.raw(&good_header, claims));
    }
    let large = |id: &str, payload: usize| {
        let header = json!({ "alg": "EdDSA", "kid": id });
        judged(&issuer.token(&header, &json!({ "exp": 1000, "x": "y".repeat(payload) })))
    };
    assert_eq!(large("ed", PAYLOAD_BYTES_MAX), Some(JwtFault::TooLarge));
    assert_eq!(large(&"e".repeat(HEADER_BYTES_MAX), 10), Some(JwtFault::TooLarge));
    assert_eq!(large("ed", 100_000), Some(JwtFault::TooLarge));
    assert_eq!(large(&"e".repeat(KEY_ID_BYTES_MAX + 1), 10), Some(JwtFault::UnknownKey));
    assert_eq!(judged(&"x".repeat(TOKEN_BYTES_MAX + 1)), Some(JwtFault::TooLarge));
    let huge = format!("{}.{}", good.rsplit_once('.').expect("dots").0, "A".repeat(4000));
    assert_eq!(judged(&huge), Some(JwtFault::TooLarge));
}

#[test]
fn a_set_of_keys_leaves_out_what_it_cannot_use_and_is_none_without_the_rest() {
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let good = || json!({ "kty": "OKP", "crv": "Ed25519", "kid": "a", "x": x });
    let parsed = |keys: Vec<Value>| KeySet::parse(json!({ "keys": keys }).to_string().as_bytes());
    let set = parsed(vec![
        good(),
        json!({ "kty": "oct", "kid": "b", "k": "c2VjcmV0" }),
        json!({ "kty": "RSA", "n": encoded([255; 128]), "e": "AQAB" }),
        json!({ "kty": "EC", "crv": "P-384", "x": x, "y": x }),
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": "c", "use": "enc", "x": x }),
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": "d", "alg": "ES256", "x": x }),
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": "e", "x": "AAAA" }),
        json!({ "kty": "EC", "crv": "P-256", "kid": "f", "x": x }),
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": "g", "key_ops": ["sign"], "x": x }),
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": "h", "x": "no base64!" }),
        good(),
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": "i", "d": x, "x": x }),
    ])
    .expect("there are good ones");
    assert_eq!(set.listed().map(|(id, _)| id).collect::<Vec<_>>(), [Some("a"), Some("i")]);
    assert!(set.find(None, JwtAlgorithm::EdDsa).is_none(), "two keys of a kind have to be named");
    assert_eq!(set.remarks.len(), 11, "{:#?}", set.remarks);
    for (number, words) in
        ["\"oct\" is not known", "RSA of 1024 bits", "\"P-384\" is not known", "for \"enc\""].iter().enumerate()
    {
        assert!(set.remarks[number].contains(words), "{}", set.remarks[number]);
    }
    assert!(set.remarks[10].contains("private"), "{}", set.remarks[10]);
    assert!(matches!(parsed(Vec::new()), Err(KeySetFault::None(_))));
    assert!(
        matches!(parsed(vec![json!({ "kty": "oct", "k": "AA" })]), Err(KeySetFault::None(said)) if said.len() == 1)
    );
    assert!(matches!(parsed(vec![good(); 201]), Err(KeySetFault::TooMany(201))));
    for text in ["", "{}", "[]", "{\"keys\":{}}", "{\"keys\":[7]}", "{\"keys\":[{}]}"] {
        assert!(matches!(KeySet::parse(text.as_bytes()), Err(KeySetFault::Form(_))), "{text}");
    }
    assert!(matches!(KeySet::parse(&[b' '; 300_000]), Err(KeySetFault::TooLong(300_000))));
}

proptest::proptest! {
    /// Whatever is sent, it is not good, and nothing panics.
    #[test]
    fn no_token_that_is_made_up_is_good(token in "(eyJhbGciOiJFZERTQSJ9|eyJhbGciOiJSUzI1NiJ9|[A-Za-z0-9_-]{0,30})\\.[A-Za-z0-9_=-]{0,60}\\.[A-Za-z0-9_-]{0,90}") {
        proptest::prop_assert!(verify(token.as_bytes(), &rfc_keys(), &lenient(), 0.0).is_err());
    }
}
