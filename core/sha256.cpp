#include "core/sha256.h"

#include <openssl/evp.h>

#include <array>

#include "core/error.h"

namespace ebb {
namespace {

EVP_MD_CTX* evp(void* context) { return static_cast<EVP_MD_CTX*>(context); }

}  // namespace

void Sha256::Free::operator()(void* context) const { EVP_MD_CTX_free(evp(context)); }

Sha256::Sha256() : context_(EVP_MD_CTX_new()) {
  require<Error>(
      context_ != nullptr && EVP_DigestInit_ex(evp(context_.get()), EVP_sha256(), nullptr) == 1,
      "[sha256] OpenSSL's libcrypto offers no SHA-256; check its configuration");
}

Sha256& Sha256::update(std::span<const std::byte> bytes) {
  require<Error>(EVP_DigestUpdate(evp(context_.get()), bytes.data(), bytes.size()) == 1,
                 "[sha256] libcrypto refused ", bytes.size(), " bytes");
  return *this;
}

std::string Sha256::hex() const {
  const Sha256 copy;  // finishing a digest ends it, and more may follow here
  std::array<unsigned char, 32> digest{};
  require<Error>(EVP_MD_CTX_copy_ex(evp(copy.context_.get()), evp(context_.get())) == 1 &&
                     EVP_DigestFinal_ex(evp(copy.context_.get()), digest.data(), nullptr) == 1,
                 "[sha256] libcrypto could not finish the digest");
  std::string text;
  for (const unsigned char byte : digest)
    text.append({"0123456789abcdef"[byte >> 4], "0123456789abcdef"[byte & 15]});
  return text;
}

std::string sha256_hex(std::span<const std::byte> bytes) { return Sha256().update(bytes).hex(); }

}  // namespace ebb
