#include "data/sha256.h"

#include <openssl/evp.h>

#include <array>

#include "data/error.h"

namespace lacuna {
namespace {

void check(int status) {
  if (status != 1) throw Error(ExitCode::internal, "OpenSSL refused to compute SHA-256; is this library built without it?");
}

}  // namespace

Sha256::Sha256() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
  check(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr));
}

void Sha256::update(const void* data, size_t size) { check(EVP_DigestUpdate(context_.get(), data, size)); }

std::string Sha256::hex() {
  std::array<unsigned char, 32> digest;
  check(EVP_DigestFinal_ex(context_.get(), digest.data(), nullptr));
  std::string text;
  for (const unsigned char byte : digest) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

}  // namespace lacuna
