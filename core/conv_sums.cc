#include "ramp/core/conv_sums.h"

#include "ramp/core/kernels/kernels.h"

namespace ramp {

template <typename T>
void ConvSums<T>::add_db(int64_t chunk, int64_t rows, const T* dy) const {
  double *db = dbs.get() + chunk * 2 * db_size, *sums = db + db_size;
  kernels<T>().sum_cols(rows, db_size, dy, db_size, sums);
  for (int64_t j = 0; j < db_size; ++j) db[j] += sums[j];
}

template <typename T>
const T* ConvSums<T>::total_dw() const {
  parallel_for(dw_size, kStreamGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = 1; i < chunks; ++i)
      kernels<T>().axpy(end - begin, T(1), dw(i) + begin, dw(0) + begin);
  });
  return dw(0);
}

template <typename T>
void ConvSums<T>::total_db(T* db) const {
  for (int64_t j = 0; j < db_size; ++j) {
    double sum = 0;
    for (int64_t i = 0; i < chunks; ++i) sum += dbs.get()[i * 2 * db_size + j];
    db[j] = static_cast<T>(sum);
  }
}

template struct ConvSums<float>;
template struct ConvSums<double>;

}  // namespace ramp
