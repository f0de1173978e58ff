SELECT count(*), lpad(to_hex(coalesce(bit_xor(hashtextextended(key, 0)), 0)), 16, '0') FROM source_key
