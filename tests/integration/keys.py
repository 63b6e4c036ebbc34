"""Keys, tokens and certificates for the integration tests, made with the openssl program."""

import base64
import json
import os
import re
import subprocess

from limpet import PATIENCE, b64url


def openssl(*arguments, data=None):
    result = subprocess.run(["openssl", *arguments], input=data, capture_output=True, timeout=PATIENCE, check=False)
    if result.returncode != 0:
        raise AssertionError(f"openssl {arguments}: {result.stderr.decode()}")
    return result.stdout


def period(is_expired):
    """Flags for `openssl x509`: until 3.3 it takes negative days, from 3.5 on only dates that are in order."""
    if not is_expired:
        return ["-days", "30"]
    usage = subprocess.run(["openssl", "x509", "-help"], capture_output=True, timeout=PATIENCE, check=False)
    if b"-not_after" in usage.stdout + usage.stderr:
        return ["-not_before", "20200101000000Z", "-not_after", "20200131000000Z"]
    return ["-days", "-1"]


class Folder:
    """A folder of keys and certificates; each is made when it is asked for."""

    def __init__(self, path):
        self.path = path

    def at(self, name):
        return os.path.join(self.path, name)

    def write(self, name, content):
        with open(self.at(name), "wb" if isinstance(content, bytes) else "w") as file:
            file.write(content)
        return self.at(name)

    def read(self, name):
        with open(self.at(name), "rb") as file:
            return file.read()

    def key(self, name, kind="ec:P-256"):
        """A private key as PEM; its path. kind: "ec:P-256", "rsa:2048", "ed25519"."""
        path = self.at(name + ".key")
        if not os.path.exists(path):
            algorithm, _, parameter = kind.partition(":")
            option = {"ec": [f"ec_paramgen_curve:{parameter}"], "rsa": [f"rsa_keygen_bits:{parameter}"]}
            options = [part for text in option.get(algorithm, []) for part in ("-pkeyopt", text)]
            openssl("genpkey", "-algorithm", algorithm, *options, "-out", path)
        return path

    def public_key(self, name):
        openssl("pkey", "-in", self.key(name), "-pubout", "-out", self.at(name + ".pub"))
        return self.at(name + ".pub")

    def certificate(self, name, names=("localhost",), kind="ec:P-256", issuer=None, is_issuer=False,
                    is_expired=False):
        """A certificate NAME.pem for these DNS names, signed by issuer (a name here) or by itself. Returns its path."""
        extensions = self.write(name + ".ext", "\n".join([
            f"basicConstraints=critical,CA:{'TRUE' if is_issuer else 'FALSE'}",
            *([] if is_issuer else ["subjectAltName=" + ",".join(f"DNS:{dns}" for dns in names)])]))
        request = openssl("req", "-new", "-key", self.key(name, kind), "-subj", f"/CN={names[0]}")
        signer = ["-signkey", self.key(name)]
        if issuer:
            signer = ["-CA", self.at(issuer + ".pem"), "-CAkey", self.key(issuer)]
        openssl("x509", "-req", *signer, "-set_serial", str(abs(hash(name)) % 10**9), *period(is_expired), "-extfile",
                extensions, "-out", self.at(name + ".pem"), data=request)
        return self.at(name + ".pem")

    def future_certificate(self, name, names):
        """The same, signed by itself, from 2090 on: only `openssl ca` can date them in all versions."""
        config = self.write(name + ".cnf", f"""
[ca]
default_ca = here
[here]
new_certs_dir = {self.path}
database = {self.write(name + ".index", "")}
serial = {self.write(name + ".serial", "01")}
default_md = sha256
policy = any
[any]
commonName = supplied
[leaf]
subjectAltName = {",".join(f"DNS:{dns}" for dns in names)}
""")
        request = self.write(name + ".csr", openssl("req", "-new", "-key", self.key(name), "-subj", f"/CN={names[0]}"))
        openssl("ca", "-batch", "-config", config, "-selfsign", "-keyfile", self.key(name), "-in", request, "-extensions", "leaf",
                "-startdate", "20900101000000Z", "-enddate", "20910101000000Z", "-notext", "-out", self.at(name + ".pem"))
        return self.at(name + ".pem")

    def jwk(self, name, **members):
        """The public key as a JSON Web Key."""
        text = openssl("pkey", "-pubin", "-in", self.public_key(name), "-noout", "-text").decode()
        point = bytes.fromhex(re.sub(r"[^0-9a-f]", "", re.search(r"pub:\n((?:    .*\n)+)", text).group(1)))
        return {"kty": "EC", "crv": "P-256", "x": b64url(point[1:33]), "y": b64url(point[33:]), **members}

    def sign(self, name, header, claims):
        """A token signed with a private key of this folder: ES256, RS256, PS256 or EdDSA by header["alg"]."""
        body = ".".join(b64url(json.dumps(part).encode()) for part in (header, claims))
        key, file = self.key(name), self.write("signed", body)
        if header["alg"] == "EdDSA":
            signature = openssl("pkeyutl", "-sign", "-inkey", key, "-rawin", "-in", file)
        else:
            padding = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32"]
            signature = openssl("dgst", "-sha256", "-sign", key, *(padding if header["alg"] == "PS256" else []), file)
        if header["alg"] == "ES256":
            signature = raw_ecdsa(signature)
        return f"{body}.{b64url(signature)}"


def raw_ecdsa(der):
    """The two integers of a DER signature, 32 bytes each."""
    r_size = der[3]
    r, s = der[4:4 + r_size], der[6 + r_size:]
    return b"".join(int.from_bytes(part, "big").to_bytes(32, "big") for part in (r, s))


def decoded(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
