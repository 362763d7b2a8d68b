"""The storefront and the console: pages whose scripts are the API's first clients."""
