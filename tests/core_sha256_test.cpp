#include <doctest/doctest.h>

#include "core/sha256.h"

using namespace ebb;

TEST_CASE("sha256 gives the examples of FIPS 180-4") {
  struct Case {
    std::string text, digest;
  };
  const Case cases[] = {{"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
                        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
                        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
                        {std::string(1'000'000, 'a'),
                         "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"}};
  for (const Case& c : cases) {
    CAPTURE(c.digest);
    CHECK(sha256_hex(c.text) == c.digest);
  }
}

TEST_CASE("sha256 in pieces equals sha256 of the whole, and reading it does not end it") {
  Sha256 hash;
  hash.update("ab");
  CHECK(hash.hex() == sha256_hex("ab"));
  hash.update("").update("c");
  CHECK(hash.hex() == sha256_hex("abc"));
}
