// Memory that a thread works in, and keeps for its next item.
//
// From the C library it would get what another thread has just freed, whose lines lie in that one's
// cache, and it would wait for the lock of the one arena that simulations have.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

namespace fedket {

constexpr int64_t kKeptBytes = int64_t{1} << 22;  // of a block: threads would hold on to much else
constexpr size_t kKeptBlocks = 8;

// A thread's free blocks, the one that was used last at the end.
class FreeBlocks {
 public:
  struct Block {
    void* memory;
    int64_t bytes;
  };

  ~FreeBlocks() {
    for (const Block& block : blocks_) std::free(block.memory);
  }

  // Not a much larger one, which another item may need.
  Block take(int64_t bytes) {
    for (size_t i = blocks_.size(); i-- > 0;) {
      const Block block = blocks_[i];
      if (block.bytes < bytes || block.bytes / 4 > bytes) continue;
      blocks_.erase(blocks_.begin() + static_cast<std::ptrdiff_t>(i));
      return block;
    }
    const int64_t lines = (bytes + 63) / 64 * 64;
    return {std::aligned_alloc(64, lines), lines};
  }

  void put(Block block) {
    if (block.bytes > kKeptBytes) {
      std::free(block.memory);
      return;
    }
    blocks_.push_back(block);
    if (blocks_.size() > kKeptBlocks) {
      std::free(blocks_.front().memory);
      blocks_.erase(blocks_.begin());
    }
  }

 private:
  std::vector<Block> blocks_;
};

inline FreeBlocks& free_blocks() {
  static thread_local FreeBlocks blocks;
  return blocks;
}

struct GiveBack {
  int64_t bytes;
  void operator()(void* memory) const { free_blocks().put({memory, bytes}); }
};

template <typename T>
using Scratch = std::unique_ptr<T[], GiveBack>;

// So many numbers, whatever they are, from the start of a cache line on.
template <typename T>
Scratch<T> scratch(int64_t count) {
  const auto block = free_blocks().take(count * static_cast<int64_t>(sizeof(T)));
  return {static_cast<T*>(block.memory), {block.bytes}};
}

}  // namespace fedket
