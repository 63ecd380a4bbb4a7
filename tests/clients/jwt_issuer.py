"""Keys and tokens of the library PyJWT: `ISSUER AUDIENCE`. One line of JSON: a JWKS, good tokens, forged ones."""

import base64
import hashlib
import hmac
import json
import sys
import time

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

issuer, audience = sys.argv[1:]
keys = {
    "RS256": (rsa.generate_private_key(65537, 2048), RSAAlgorithm),
    "ES256": (ec.generate_private_key(ec.SECP256R1()), ECAlgorithm),
    "EdDSA": (ed25519.Ed25519PrivateKey.generate(), OKPAlgorithm),
}
claims = {"iss": issuer, "aud": [audience, "more"], "sub": "user", "exp": int(time.time()) + 600, "iat": int(time.time())}


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jwk(name):
    key, algorithm = keys[name]
    return {**json.loads(algorithm.to_jwk(key.public_key())), "kid": name, "use": "sig", "alg": name}


def token(name, key=None, **more):
    return jwt.encode({**claims, **more}, key or keys[name][0], algorithm=name, headers={"kid": name})


def by_hmac(secret):
    signed = encoded(json.dumps({"alg": "HS256", "kid": "RS256"}).encode()) + "." + encoded(json.dumps(claims).encode())
    return signed + "." + encoded(hmac.new(secret, signed.encode(), hashlib.sha256).digest())


public = keys["RS256"][0].public_key()
pem, der = serialization.Encoding.PEM, serialization.Encoding.DER
info = serialization.PublicFormat.SubjectPublicKeyInfo
header, body, signature = token("RS256").split(".")
forged = {
    "none": jwt.encode(claims, None, algorithm="none", headers={"kid": "RS256"}),
    "hmac of the public key in PEM": by_hmac(public.public_bytes(pem, info)),
    "hmac of the public key in DER": by_hmac(public.public_bytes(der, info)),
    "another key of the same name": token("RS256", rsa.generate_private_key(65537, 2048)),
    "expired": token("ES256", exp=int(time.time()) - 600),
    "another audience": token("EdDSA", aud="other"),
    "another issuer": token("EdDSA", iss="https://evil.example"),
    "truncated": f"{header}.{body}.{signature[:-8]}",
    "without its signature": f"{header}.{body}.",
    "another algorithm": jwt.encode(claims, keys["RS256"][0], algorithm="RS512", headers={"kid": "RS256"}),
}
print(json.dumps({"keys": {"keys": [jwk(name) for name in keys]}, "good": {name: token(name) for name in keys}, "forged": forged}))
