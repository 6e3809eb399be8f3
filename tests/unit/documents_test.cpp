#include "data/documents.h"

#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <vector>

namespace lacuna {
namespace {

std::vector<int32_t> listed(const at::Tensor& t) { return {t.data_ptr<int32_t>(), t.data_ptr<int32_t>() + t.numel()}; }

TEST(DocumentStarts, ListsEachRunOfEveryRowAndThenTheEnd) {
  const auto segments = at::tensor({1, 1, 2, 2, 2, 3, 1, 1, 1, 1, 0, 0}, at::kInt).view({2, 6});
  EXPECT_EQ(listed(document_starts(segments)), (std::vector<int32_t>{0, 2, 5, 6, 10, 12, 12, 12, 12}));
}

TEST(DocumentStarts, HasRoomForFourARowAndDoublesItWhereTheyAreMore) {
  EXPECT_EQ(document_starts(at::ones({3, 5}, at::kInt)).size(0), 16 + 1);
  EXPECT_EQ(document_starts(at::ones({1, 5}, at::kInt)).size(0), 4 + 1);
  const auto many = at::tensor({1, 2, 3, 4, 5}, at::kInt).view({1, 5});
  EXPECT_EQ(listed(document_starts(many)), (std::vector<int32_t>{0, 1, 2, 3, 4, 5, 5, 5, 5}));
  EXPECT_EQ(usual_documents(64), 256);
}

TEST(DocumentStarts, MoreRoomAddsDocumentsOfNoToken) {
  const auto starts = document_starts(at::tensor({1, 1, 2}, at::kInt).view({1, 3}));
  EXPECT_EQ(listed(starts), (std::vector<int32_t>{0, 2, 3, 3, 3}));
  EXPECT_EQ(listed(with_room(starts, 9)), (std::vector<int32_t>{0, 2, 3, 3, 3, 3, 3, 3, 3}));
  EXPECT_TRUE(at::equal(with_room(starts, 5), starts));
}

}  // namespace
}  // namespace lacuna
